"""A program that talks with a server can change nothing but the folders that it is given."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from snapmirror import process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")


def ends(argv: Sequence[process.Argument], writable: Sequence[Path] | None) -> tuple[int, bytes]:
    with process.running(argv, writable=writable) as child:
        return child.wait(), child.stderr_tail()


@pytest.mark.parametrize("argv", [["touch", "new"], ["chmod", "0777", "sealed"], ["rm", "sealed"],
                                  ["ln", "sealed", "new"], ["setfattr", "--name=user.x", "sealed"]])  # fmt: skip
def test_only_what_is_given_can_be_changed(tmp_path: Path, argv: list[str]) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "sealed").touch()
    for writable, folder in ((None, other), ([mine], mine)):
        names = [str(folder / word) if word in ("new", "sealed") else word for word in argv]
        assert ends(names, writable)[0] == 0
    (other / "new").unlink(missing_ok=True)
    (other / "sealed").touch()
    before = (other / "sealed").stat()
    for only in (list[Path](), [mine]):
        code, says = ends([str(other / word) if word in ("new", "sealed") else word for word in argv], only)
        assert code != 0 and b"Read-only file system" in says
    assert sorted(one.name for one in other.iterdir()) == ["sealed"]
    assert (other / "sealed").stat() == before


def test_files_move_between_the_folders_of_one_folder(tmp_path: Path) -> None:
    """Else rsync, which receives in one and delivers in the other, would copy each file again, and its holes."""
    for name in ("tmp", "staging", "sealed"):
        (tmp_path / name).mkdir()
    (tmp_path / "record").write_text("record")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "tmp" / "file").touch()
    inode = (tmp_path / "tmp" / "file").stat().st_ino
    writable = [tmp_path / "tmp", tmp_path / "staging"]
    move = "import os, sys; os.rename(sys.argv[1], sys.argv[2])"
    argv = ["python3", "-c", move, str(tmp_path / "tmp" / "file"), str(tmp_path / "staging" / "file")]
    assert ends(argv, writable) == (0, b"")
    assert (tmp_path / "staging" / "file").stat().st_ino == inode
    file, record, sealed = tmp_path / "staging" / "file", tmp_path / "record", tmp_path / "sealed"
    refused: list[list[str | Path]] = [
        ["touch", sealed / "new"], ["rm", record], ["rmdir", sealed], ["mv", file, record], ["mv", file, sealed],
    ]  # fmt: skip
    for wrong in refused:
        assert ends(wrong, writable)[0] != 0, wrong
    assert (tmp_path / "record").read_text() == "record" and not list((tmp_path / "sealed").iterdir())
    assert (tmp_path / "staging" / "file").exists()


def test_a_symlink_leads_nowhere_else(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (mine / "link").symlink_to(other)
    code, says = ends(["touch", mine / "link" / "file"], [mine])
    assert code != 0 and b"Read-only file system" in says
    assert not list(other.iterdir())


def test_what_is_unmounted_outside_is_let_go(tmp_path: Path) -> None:
    """A program that is confined holds no mount that is undone meanwhile, where mounts are shared as systemd does."""
    inner = tmp_path / "inner"
    process.run(["mount", "-t", "tmpfs", "none", str(tmp_path)])
    try:
        process.run(["mount", "--make-shared", str(tmp_path)])
        inner.mkdir()
        process.run(["mount", "-t", "tmpfs", "none", str(inner)])
        with process.running(["sleep", "60"], capture=False, writable=[]) as child:
            while str(inner) + " ro" not in Path(f"/proc/{child.pid}/mountinfo").read_text():
                time.sleep(0.01)
            process.run(["umount", str(inner)])
            assert str(inner) not in Path(f"/proc/{child.pid}/mountinfo").read_text()
    finally:
        process.run(["umount", "--recursive", str(tmp_path)])
