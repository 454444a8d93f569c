"""Run dreamlap on a device that this machine lacks: `python tests/pretend_device.py cuda train controller debug ...`

Tensors of the pretended device hold a tensor of the CPU, on which everything is computed. They say that they are elsewhere,
refuse to be mixed with tensors of the CPU, as a real device does, and lack what `mps` lacks: float64 and `ndtri`. What would be
recorded as a graph is called again each time. Speed, worker processes and the kernels of a real device cannot be shown in this
way.
"""

import sys
from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from dreamlap import recorded

KIND = sys.argv[1]
ops = torch.ops.aten
MOVES = (ops.copy_.default, ops._to_copy.default)
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
"""A real device takes an index that is on the CPU."""
ASKING = ("_local_scalar_dense", "nonzero", "masked_select")
"""What makes the CPU wait for an answer."""
now = {"recording": False}


class Elsewhere(torch.Tensor):
    """A tensor that says it is on the pretended device. To torch's own code it is on `meta`, which needs no driver."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        shape: Any = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "device": "meta"}
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), **shape)
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        return torch.device(KIND, 0)

    def __deepcopy__(self, memo: Any):
        return Elsewhere(self.held.clone())

    def __reduce_ex__(self, proto: Any):
        return self.held.__reduce_ex__(proto)

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def is_elsewhere(device: Any) -> bool:
    return device is not None and torch.device(device).type in (KIND, "meta")


def put(value: Any) -> Any:
    """What was computed, on the pretended device."""
    if not isinstance(value, torch.Tensor) or isinstance(value, Elsewhere):
        return value
    if KIND == "mps" and value.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
    return Elsewhere(value)


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """One operation, on the CPU."""
    name, tensors = func.overloadpacket.__name__, [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    here = [x for x in tensors if not isinstance(x, Elsewhere) and x.ndim]
    there, device = len(tensors) > len(here) and any(isinstance(x, Elsewhere) for x in tensors), kwargs.get("device")
    if there and KIND == "mps" and "ndtri" in name:
        raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device")
    if there and here and func not in MOVES and not (name in INDEXING and isinstance(args[0], Elsewhere)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {KIND}:0 and cpu (aten::{name})")
    args_held, held = tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, (args, kwargs))
    if "device" in held:
        held["device"] = torch.device("cpu") if device is None or is_elsewhere(device) else device
    held |= {"pin_memory": False} if "pin_memory" in held else {}
    if func is ops.view.default:  # of the pretended strides, which may differ from those that are held
        func, args_held = ops.reshape.default, args_held
    if now["recording"]:
        moved = func in MOVES and (here or not (is_elsewhere(device) if device is not None else there))
        if moved or name in ASKING or (name in INDEXING and any(x.dtype == torch.bool for x in tensors[1:])):
            raise RuntimeError(f"aten::{name} asks or copies between the CPU and {KIND}, which cannot be recorded as a graph")
    result = func(*args_held, **held)
    if func is ops.copy_.default:
        return args[0]
    if not (is_elsewhere(device) if device is not None else there):
        return result
    if func is ops._to_copy.default:
        return put(result)
    if there and func._schema.is_mutable and torch.Tag.inplace_view not in func.tags:
        return args[0] if isinstance(args[0], Elsewhere) else result
    result = tree_map(put, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if there else result


class Generator(torch.Generator):
    """A generator of the CPU that says it is on the device that it was made for."""

    on: torch.device

    def __new__(cls, device: Any = "cpu"):
        new: Any = super().__new__
        made = new(cls, "cpu")
        made.on = torch.device(KIND, 0) if is_elsewhere(device) else torch.device(device)
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.on


class Calls(TorchFunctionMode):
    """Before torch sees a call: the pretended device is called `meta`, and a generator must be on the device it is used for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        def renamed(x: Any) -> Any:
            known = (isinstance(x, torch.device) and x.type == KIND) or (isinstance(x, str) and x.split(":")[0] == KIND)
            return torch.device("meta") if known else x

        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        if name == "tolist" and isinstance(args[0], Elsewhere):
            return args[0].held.tolist()
        if "device" in kwargs:
            kwargs["device"] = renamed(kwargs["device"])
        if name == "to":
            args = tuple(map(renamed, args))
        chance = kwargs.get("generator")
        if isinstance(chance, Generator):
            wanted = is_elsewhere(kwargs.get("device")) or (
                kwargs.get("device") is None and any(isinstance(x, Elsewhere) for x in args)
            )
            if (chance.on.type == KIND) != wanted:
                raise RuntimeError(f"Expected a generator of another device than {chance.on}")
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and is_elsewhere(kwargs.get("device")):
            kwargs.pop("device")  # made on the CPU, then moved
            return func(*args, **kwargs).to("meta")
        return func(*args, **kwargs)


class Operations(TorchDispatchMode):
    """Operations on tensors that are all on the CPU, or that make new ones."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        return compute(func, args, kwargs or {})


def fill(vector: torch.Tensor, parameters: Any) -> None:
    """`vector_to_parameters`, which on a real device would leave C where the vector is."""
    at = 0
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(vector[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()


def recording(function: Any, inputs: Any) -> Any:
    """A recorded function is called, and refused what cannot be recorded."""
    now["recording"] = True
    try:
        return function(*inputs)
    finally:
        now["recording"] = False


def pretend() -> None:
    """Let torch say that there is such a device."""
    for module, name, value in (
        (torch.cuda, "is_available", lambda: KIND == "cuda"),
        (torch.cuda, "_lazy_init", lambda: None),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: False),
        (torch.backends.mps, "is_available", lambda: KIND == "mps"),
        (torch, "Generator", Generator),
        (torch.nn.utils, "vector_to_parameters", fill),
    ):
        setattr(module, name, value)
    recorded.record = lambda function, inputs: partial(recording, function, inputs)
    save = torch.save
    torch.save = lambda value, *rest, **more: save(
        tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, value), *rest, **more
    )


if __name__ == "__main__":
    pretend()
    with Calls(), Operations():
        from dreamlap.cli import main

        main(sys.argv[2:])
