"""Files: written whole or not at all, through links, with their modes; and what is said when one cannot be written."""

import errno
import io
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamlap.cli import main
from dreamlap.errors import Failed, Refused, explain
from dreamlap.files import check_folder, check_writable, place, read_json, read_object, replacing, write_json


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as partial:
        partial.write_text(text)


def test_a_file_is_replaced_whole_and_a_failed_one_leaves_the_old(tmp_path: Path):
    write(tmp_path / "deep/er/file", "old")
    with pytest.raises(TypeError), replacing(tmp_path / "deep/er/file") as partial:
        partial.open("w").write(None)  # pyright: ignore[reportArgumentType]
    assert (tmp_path / "deep/er/file").read_text() == "old"
    assert os.listdir(tmp_path / "deep/er") == ["file"]


def test_a_link_is_written_through_and_modes_stay(tmp_path: Path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real/file", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    (tmp_path / "dangling").symlink_to(tmp_path / "real/later")
    write(link)
    write(tmp_path / "dangling")
    assert link.is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert real.read_text() == (tmp_path / "real/later").read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "real/later").stat().st_mode) == 0o666 & ~umask


def test_a_pipe_stays_a_pipe(tmp_path: Path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    check_writable(pipe)
    write(pipe)
    reader.join(10)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path):
    write(tmp_path / ("ü" * 127 + "n"))
    assert (tmp_path / ("ü" * 127 + "n")).read_text() == "new"
    with pytest.raises(OSError, match="too long") as failed:
        write(tmp_path / ("n" * 256))
    assert "Choose a shorter one" in explain(failed.value)


def test_what_cannot_be_written_is_known_before_the_work(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path, remedy in (
        (tmp_path / "folder", "Name a file"),
        (tmp_path / "file/below", "a file"),
        (tmp_path / ("n" * 256), "Choose a shorter one"),
        (Path("/proc/nobody/writes/here"), "Check the path"),
    ):
        for attempt in (check_writable, write):
            with pytest.raises(OSError, match=str(path.name)[:40]) as failed:
                attempt(path)
            assert remedy in explain(failed.value)
            assert str(path)[-200:] in explain(failed.value)
    check_writable(tmp_path / "new/folder/file")
    check_folder(tmp_path / "new/folder")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_what_another_process_puts_there_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def meanwhile(**where: Path) -> io.BytesIO:
        (where["dir"].parent / "other").mkdir()
        return io.BytesIO()

    monkeypatch.setattr("dreamlap.files.tempfile.TemporaryFile", meanwhile)
    check_folder(tmp_path / "runs/mine")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_of_writing_names_the_file_that_the_user_knows(tmp_path: Path, number: int):
    with pytest.raises(OSError, match=r"file\.json") as failed, replacing(tmp_path / "file.json") as partial:
        raise OSError(number, os.strerror(number), str(partial))
    assert explain(failed.value).startswith(f"{tmp_path / 'file.json'}: ")


def test_an_error_of_reading_in_between_stays_what_it_is(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "out"):
        (tmp_path / "nowhere").read_text()
    with pytest.raises(Refused, match="mine"), replacing(tmp_path / "out"):
        raise Refused("mine")


SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_comes_back_and_what_is_no_number_is_null(value: object):
    import tempfile

    def known(value: object) -> object:
        if isinstance(value, dict):
            return {name: known(each) for name, each in value.items()}
        if isinstance(value, list):
            return [known(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "a.json", value)
        assert read_json(Path(folder) / "a.json") == known(value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1]", "holds a list"),
        (b"null", "holds null"),
        (b"[" * 10**5, "not valid JSON"),
    ],
)
def test_json_that_is_none_is_named(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Refused, match=rf"a\.json (is )?{message}"):
        read_object(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"b\.json is missing"):
        read_object(tmp_path / "b.json")


def test_a_byte_order_mark_is_no_part_of_json(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_object(tmp_path / "a.json") == {"a": 1}


def test_a_tilde_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(Path("~/file"))
    assert place("~/file").read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_unknown_users_home_is_refused():
    with pytest.raises(Refused, match=r"~nosuchuser/x: there is no such user.*write \./~nosuchuser/x"):
        place("~nosuchuser/x")


def test_what_is_read_is_not_written_over(tmp_path: Path):
    write(tmp_path / "in.json")
    (tmp_path / "link.json").symlink_to("in.json")
    check_writable(tmp_path / "in.json", read=[tmp_path / "other.json"])
    with pytest.raises(Refused, match="would be lost"):
        check_writable(tmp_path / "link.json", read=[tmp_path / "in.json"])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Refused("do this"), 1, "dreamlap report: do this"),
        (Failed("do that"), 1, "dreamlap report: do that"),
        (FloatingPointError("lower it"), 1, "dreamlap report: lower it"),
        (OSError(errno.ENOSPC, "full", "x/y"), 1, "dreamlap report: x/y: no space is left on the disk"),
        (PermissionError(errno.EACCES, "no", "x/y"), 1, "x/y: permission denied. Choose another folder"),
        (OSError(123, "Odd", "x/y"), 1, "x/y: Odd. Check the path"),
        (MemoryError("5 GB"), 1, "there is not enough memory (5 GB)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "there is not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "there is not enough memory"),
        (ValueError("of a library"), 70, "This is a bug in dreamlap"),
        (RuntimeError("of torch"), 70, "dreamlap report '[x]'"),
        (KeyError("a"), 70, "Please report it"),
    ],
)
def test_exceptions_become_messages_in_one_place(
    error: Exception,
    status: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fail(_: Path) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    write(Path("[x]") / "config.json", "{}")
    monkeypatch.setattr("dreamlap.show.report.write_report", fail)
    with pytest.raises(SystemExit) as ended:
        main(["report", "[x]"])
    said = capsys.readouterr()
    assert ended.value.code == status
    assert words in " ".join(said.err.split())
    assert ("Traceback" in said.err) == (status == 70)


@pytest.mark.parametrize(("verb", "words"), [("run", "goes on from there"), ("report", "begins again")])
def test_what_is_said_after_an_interruption_is_true(
    verb: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dreamlap.cli._call", interrupt)
    with pytest.raises(SystemExit) as ended:
        main([verb, "a b"])
    assert ended.value.code == 130
    assert words in capsys.readouterr().err


def test_work_goes_on_when_nobody_reads(tmp_path: Path):
    code = (
        "from dreamlap.progress import console, meter\n"
        "for i in range(3000): console.print('x' * 100)\n"
        "with meter('m', 3) as bar: bar.advance(3)\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()"
    )
    for shell in ("{} | head -c 1 >/dev/null", "{} >&-", "{} >/dev/full"):
        command = ["/bin/bash", "-c", shell.format(f'"{sys.executable}" -c "$1"'), "bash", code]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (tmp_path / "done").exists(), shell
        assert "Traceback" not in done.stderr
        (tmp_path / "done").unlink()
