"""Lock files: for their owner alone, and who holds one."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from snapmirror import lockfile
from snapmirror.config import ZfsConfig
from snapmirror.errors import StorageError
from snapmirror.storage import encryption, pool
from tests.support.locking import held_by_a_stranger

ODD = """
import fcntl, sys
open("/proc/self/comm", "w").write("fl\x1bock")
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_SH)
print("locked", flush=True)
sys.stdin.read()
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_who_holds_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "with\na line end"
    with lockfile.opened(path) as file:
        assert mode_of(path) == 0o600
        assert lockfile.holders(file.fileno()) == "a process that cannot be seen from here"
        stranger = held_by_a_stranger(path)
        assert not lockfile.take(file, fcntl.LOCK_EX)
        assert lockfile.holders(file.fileno()) == f"flock (pid {stranger.pid})"
        stranger.communicate()
        odd = subprocess.Popen(
            ["/usr/bin/python3", "-c", ODD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
        )
        assert odd.stdout is not None
        assert odd.stdout.readline() == b"locked\n"
        assert lockfile.holders(file.fileno()) == f"fl?ock (pid {odd.pid})", "nothing of it reaches a terminal as it is"
        assert lockfile.take(file, fcntl.LOCK_SH)
        mine, other = (f"(pid {pid})" for pid in (os.getpid(), odd.pid))
        assert all(who in lockfile.holders(file.fileno()) for who in (mine, other))
        odd.communicate()
        assert lockfile.holders(file.fileno()) == f"another snapmirror {mine}"


def test_a_lock_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    with lockfile.opened(path):
        assert mode_of(path) == 0o600
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        lockfile.opened(tmp_path / "link")
    folder = tmp_path / "folder"
    folder.mkdir(0o755)
    assert mode_of(lockfile.private_folder(folder)) == 0o700


def test_a_strangers_lock_on_a_pool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    monkeypatch.setattr(encryption, "RUNTIME_FOLDER", runtime)
    place = pool.Place(ZfsConfig(dataset="tank/backup"), tmp_path / "store")
    with pool.held(place):
        pass
    [lock] = runtime.iterdir()
    assert (mode_of(runtime), mode_of(lock)) == (0o700, 0o600)
    stranger = held_by_a_stranger(lock)
    with pytest.raises(StorageError, match=rf"is in use by flock \(pid {stranger.pid}\)"), pool.held(place):
        pass
    stranger.communicate()
    with pool.held(place):
        pass
