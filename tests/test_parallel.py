"""Work in many processes: in order and as in one, and whatever goes wrong in a process is told here, not waited for."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from joblib.externals.loky import process_executor

from dreamlap.parallel import GROWTH, in_parallel

pytestmark = pytest.mark.timeout(300)  # a process that is waited for in vain should not take the suite along


def write(folder: Path, item: int) -> int:
    """Leaves a file for every item; the process that meets item 5 is killed the first time, like one short of memory."""
    if item == 5 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(item)).touch()
    return item


def invert(item: int) -> float:
    return 1 / item


def test_a_killed_process_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    met: list[int] = []
    with pytest.raises(RuntimeError, match=r"died.*same command again.*--workers"):
        met.extend(in_parallel(partial(write, tmp_path), range(12), 2))
    assert met == list(range(len(met)))
    assert len(met) <= 5
    left = [item for item in range(12) if not (tmp_path / str(item)).exists()]
    assert 5 in left
    assert not set(met) & set(left)
    assert list(in_parallel(partial(write, tmp_path), left, 2)) == left


def bound(_: int) -> int:
    return process_executor._MAX_MEMORY_LEAK_SIZE


def test_a_process_may_grow_by_what_an_agent_and_its_tracks_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_executor._MAX_MEMORY_LEAK_SIZE  # joblib's own, by this name
    monkeypatch.setattr(process_executor, "_MAX_MEMORY_LEAK_SIZE", 1)
    assert list(in_parallel(bound, range(4), 2)) == [GROWTH] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_process_comes_with_its_traceback(workers: int) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(in_parallel(invert, [1, 0], workers))
    told = "".join(map(str, (caught.getrepr(), caught.value.__cause__)))
    assert "return 1 / item" in told
