"""What a GPU records: here, without one, a tensor that says it is on CUDA."""

import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dreamlap import recorded
from dreamlap.recorded import Recorded


class Cell:
    """A number on a device that is not there."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, value: int):
        self.value = value

    def clone(self) -> "Cell":
        return Cell(self.value)

    def copy_(self, other: "Cell") -> None:
        self.value = other.value


def called(times: int, record: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[Cell]]:
    asked: list[Cell] = []
    monkeypatch.setattr(recorded, "record", record)
    function: Any = Recorded(lambda cell: asked.append(cell) or cell.value + 1)
    return [function(Cell(i)) for i in range(times)], asked


def test_the_first_call_is_ordinary_and_later_ones_find_their_inputs_in_one_place(monkeypatch: pytest.MonkeyPatch):
    results, asked = called(4, lambda function, inputs: lambda: function(*inputs), monkeypatch)
    assert results == [1, 2, 3, 4]
    assert len({id(cell) for cell in asked[1:]}) == 1
    assert asked[0] is not asked[1]


def test_what_cannot_be_recorded_is_called_and_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def record(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    assert called(4, record, monkeypatch)[0] == [1, 2, 3, 4]
    told = capsys.readouterr().err
    assert told.count("not permitted when stream is capturing") == 1
    assert "more slowly" in told


def test_garbage_is_collected_before_a_recording_and_none_during_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: nullcontext())
    earlier: Any = Cell(0)
    earlier.itself, gone = earlier, weakref.ref(earlier)
    del earlier
    during: list[bool] = []
    recorded.record(lambda: during.append(gc.isenabled() or gone() is not None), [])
    assert during == [False]
    assert gc.isenabled()

    def fail() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        recorded.record(fail, [])
    assert gc.isenabled()
