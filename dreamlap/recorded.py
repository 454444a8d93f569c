"""A function of tensors that a GPU is told of once, and then repeats without asking Python for each of its kernels.

Small kernels take less time than it takes to ask for them: a step of PPO in the dream consists of thousands. They are recorded
as a CUDA graph. Other devices, which have no such graphs, call the function.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dreamlap.progress import notes

Result = TypeVar("Result")


class Recorded(Generic[Result]):
    """The function, called as ever. Its inputs keep their shapes; whatever else it reads stays where it is, and what it writes
    there is written each time. It asks the GPU for no number, and draws no chance.

    The first call is an ordinary one, which lets every library begin. The second is recorded. What later calls return lies
    in the same place each time.
    """

    def __init__(self, function: Callable[..., Result]):
        self.function = function
        self._known, self._inputs, self._replay = False, list[Tensor](), None

    def __call__(self, *inputs: Tensor) -> Result:
        """`function` of tensors on one device."""
        if inputs[0].device.type != "cuda" or not self._known:
            self._known = True
            return self.function(*inputs)
        if self._replay is None:
            self._inputs = [each.clone() for each in inputs]
            try:
                self._replay = record(self.function, self._inputs)
            except RuntimeError as error:
                notes.print(
                    f"this GPU does not record what it is asked, so it goes on more slowly: {str(error).splitlines()[0]}"
                )
                self._replay = partial(self.function, *self._inputs)
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        return self._replay()


def record(function: Callable[..., Result], inputs: list[Tensor]) -> Callable[[], Result]:
    """What repeats `function` on whatever then lies in `inputs`."""
    graph = torch.cuda.CUDAGraph()
    with nothing_collected(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = function(*inputs)

    def replay() -> Result:
        graph.replay()
        return result

    return replay


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Python's collector waits. Earlier graphs may be among its garbage, and to free one breaks a recording."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def may_be(mask: Tensor) -> bool:
    """Whether any of a mask may be set: a GPU is not asked, since all that was asked of it before would have to end first."""
    return mask.device.type != "cpu" or bool(mask.any())
