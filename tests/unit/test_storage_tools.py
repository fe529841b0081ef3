"""The tools under the storage: what they say to their programs, and how they undo."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from snapmirror.errors import StorageError, StuckError
from snapmirror.tools import filesystems, loop, luks, mount, qsd
from snapmirror.tools.undo import LeaveStanding, undone_by, wait_until
from tests.support.storage import put_first_on_path

# --- undo -------------------------------------------------------------------------------------------------------------


@contextmanager
def layer(name: str, undone: list[str], fails: Exception | None = None) -> Iterator[None]:
    def release() -> None:
        undone.append(name)
        if fails:
            raise fails

    with undone_by(release):
        yield


def test_layers_are_undone_in_reverse() -> None:
    undone: list[str] = []
    with ExitStack() as stack:
        for name in ("image", "loop", "mount"):
            stack.enter_context(layer(name, undone))
    assert undone == ["mount", "loop", "image"]


def test_nothing_is_pulled_from_under_what_is_stuck() -> None:
    undone: list[str] = []
    stuck = StuckError("busy")
    with pytest.raises(StuckError) as caught, ExitStack() as stack:
        stack.enter_context(layer("loop", undone))
        stack.enter_context(layer("mount", undone, stuck))
        raise ValueError("before")
    assert undone == ["mount"]
    assert caught.value is stuck
    assert isinstance(caught.value.__context__, ValueError)


def test_a_lesser_error_while_undoing_becomes_a_note() -> None:
    undone: list[str] = []
    with pytest.raises(ValueError, match="first") as caught, ExitStack() as stack:
        stack.enter_context(layer("loop", undone))
        stack.enter_context(layer("mount", undone, StorageError("second")))
        raise ValueError("first")
    assert undone == ["mount", "loop"]
    assert caught.value.__notes__ == ["while undoing: second"]


def test_an_error_while_undoing_is_the_error_when_there_was_none() -> None:
    undone: list[str] = []
    with pytest.raises(StorageError, match="second"), ExitStack() as stack:
        stack.enter_context(layer("loop", undone))
        stack.enter_context(layer("mount", undone, StorageError("second")))
    assert undone == ["mount", "loop"]


def test_layers_can_be_left_standing_on_purpose() -> None:
    undone: list[str] = []
    with suppress(LeaveStanding), layer("mount", undone):
        raise LeaveStanding
    assert undone == []


def test_waiting_asks_at_least_once_and_again() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers))
    assert not wait_until(lambda: False, seconds=0)
    assert wait_until(lambda: True, seconds=0)


# --- mounts -----------------------------------------------------------------------------------------------------------


def test_mountinfo_with_every_kind_of_name() -> None:
    line = (
        rb"44 27 0:39 / /mnt/with\040blank\134and\012line rw,nosuid shared:7 master:1 - fuse.x /dev/f\040x ro,user_id=0"
    )
    parsed = mount._parse(line)
    assert parsed.target == Path("/mnt/with blank\\and\nline")
    assert (parsed.device_number, parsed.filesystem, parsed.source) == ("0:39", "fuse.x", "/dev/f x")
    assert parsed.read_only is False, "an error made the file system read-only; the mount was not asked to be"
    assert mount._parse(line.replace(b" rw,", b" ro,")).read_only is True
    assert os.fsencode(mount._parse(b"1 2 0:3 / /\xff rw - tmpfs x rw").target) == b"/\xff"


def test_the_mount_of_a_file_is_the_deepest() -> None:
    found = mount.mount_of(Path("/proc/self/mountinfo"))
    assert found is not None
    assert found.filesystem == "proc"
    assert mount.mount_at(Path("/proc")) is not None
    assert mount.mount_at(Path("/proc/self")) is None


def test_direct_io_is_not_safe_over_fuse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(mount, "_MOUNTINFO", table)
    for kind, safe in {"fuse": False, "fuse.smbnetfs": False, "fuseblk": False, "ext4": True, "cifs": True}.items():
        table.write_text(f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path} rw - {kind} /dev/b rw\n")
        assert loop.direct_io_is_safe(tmp_path / "image") is safe, kind


def test_who_is_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine-too").mkdir()
    with (tmp_path / "mine" / "file").open("w"):
        assert any(f"(pid {os.getpid()})" in holder for holder in mount.holders(tmp_path / "mine"))
        assert mount.holders(tmp_path / "mine-too") == []


# --- programs ---------------------------------------------------------------------------------------------------------

RECORD = 'printf "%s\\n" "$@" > "$0.argv"; cat > "$0.stdin"; '


def test_the_key_goes_through_stdin_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put_first_on_path(tmp_path / "bin", "cryptsetup", RECORD, monkeypatch.setenv)
    argv, stdin = Path(f"{program}.argv"), Path(f"{program}.stdin")
    key = b"sec\xffret\n"
    for version in (1, 2):
        luks.write_header(tmp_path / "image", version=version, key=key, uuid="u-u-i-d")
        words = argv.read_text().splitlines()
        assert stdin.read_bytes() == key
        assert "--key-file=-" in words
        assert words[words.index("--type") + 1] == f"luks{version}"
        assert words[words.index("--uuid") + 1] == "u-u-i-d"
        assert words[-1] == str(tmp_path / "image")
        assert b"ret" not in argv.read_bytes()
    assert luks.key_fits(tmp_path / "image", key)
    assert stdin.read_bytes() == key


def test_the_mapping_lets_discards_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put_first_on_path(tmp_path / "bin", "cryptsetup", RECORD, monkeypatch.setenv)
    with luks.unlocked(Path("/dev/loop99"), "name", b"key", tmp_path / "known") as device:
        assert device == Path("/dev/mapper/name")
    words = Path(f"{program}.argv").read_text().splitlines()
    assert "--allow-discards" in words
    assert words[words.index("--header") + 1] == str(tmp_path / "known"), "the one on the device is not read"
    assert words[-2:] == ["/dev/loop99", "name"]


@pytest.mark.parametrize(("code", "says"), [(2, "the key does not open"), (4, "cannot be opened: nothing there")])
def test_cryptsetup_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str) -> None:
    put_first_on_path(tmp_path / "bin", "cryptsetup", f"echo nothing there >&2; exit {code}", monkeypatch.setenv)
    with pytest.raises(StorageError, match=says), luks.unlocked(Path("/dev/loop99"), "name", b"key", tmp_path / "a"):
        pass


def test_the_daemon_gets_the_key_through_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put_first_on_path(tmp_path / "bin", qsd.PROGRAM, RECORD, monkeypatch.setenv)
    export = tmp_path / "run" / "decrypted"
    with qsd.exported(tmp_path / 'image, with "signs"', export, b"secret"):
        assert stat.S_IMODE(export.stat().st_mode) == 0o600
        assert stat.S_IMODE(export.parent.stat().st_mode) == 0o700
    assert not export.parent.exists()
    words = Path(f"{program}.argv").read_text()
    assert Path(f"{program}.stdin").read_bytes() == b"secret"
    assert "secret,id=key,file=/proc/self/fd/0" in words
    assert r"image, with \"signs\"" in words


@pytest.mark.parametrize(
    ("state", "clean"), [("<CLEAN>", True), ("<DIRTY>", False)],
)  # fmt: skip
def test_the_state_of_an_xfs_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, clean: bool) -> None:
    script = f"echo xfs_logprint:; echo '    log tail: 8 head: 8 state: {state}'"
    put_first_on_path(tmp_path / "bin", "xfs_logprint", script, monkeypatch.setenv)
    assert filesystems.xfs_is_clean(tmp_path) is clean


def test_a_log_without_a_state_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path(tmp_path / "bin", "xfs_logprint", "echo nothing", monkeypatch.setenv)
    with pytest.raises(StorageError, match="does not show its state"):
        filesystems.xfs_is_clean(tmp_path)


@pytest.mark.parametrize("code", [2, 4, 8, 12])
def test_e2fsck_that_did_not_mend_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    script = f"echo 'image: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.'; exit {code}"
    program = put_first_on_path(tmp_path / "bin", "e2fsck", script, monkeypatch.setenv)
    with pytest.raises(StorageError, match="is damaged: image: UNEXPECTED INCONSISTENCY"):
        filesystems.check_ext4(tmp_path)
    program.write_text("#!/bin/sh\nexit 1\n")  # errors were corrected
    filesystems.check_ext4(tmp_path)
