"""The locks of a store: they are taken in one order, and in one way."""

from __future__ import annotations

import ast
import fcntl
import itertools
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from snapmirror import lockfile
from snapmirror.config import Config, parse
from snapmirror.errors import ExitCode, Interrupted, StorageError, TakenError
from snapmirror.storage import export_lock, image_lock, locks
from snapmirror.storage.locks import Rank, Refusal
from snapmirror.storage.run_lock import run_lock
from tests.support.locking import held_by_a_stranger

PACKAGE = Path(locks.__file__).parents[1]


def free() -> None:
    """An attempt that succeeds."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(
        {
            "store": {"path": str(tmp_path / "store"), "state_dir": str(tmp_path / "state")},
            "image": {"file": str(tmp_path / "x.img"), "size": "1G", "encryption": "none"},
            "mirror": [{"name": "web", "source": "/srv/web"}],
            "export": {"users": {"ann": str(tmp_path / "password")}},
        }
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.product(Rank, Rank)))
def test_locks_are_taken_in_their_order(first: Rank, second: Rank) -> None:
    with locks.held(first, free):
        if second < first:
            with pytest.raises(AssertionError, match=f"{second.name} must be taken before {first.name}"):
                locks.held(second, free).__enter__()
        else:
            with locks.held(second, free):
                pass
    with locks.held(second, free):
        pass


def test_what_was_not_taken_is_not_held() -> None:
    with pytest.raises(StorageError), locks.held(Rank.IMAGE, lambda: Refusal(lambda: StorageError("no"))):
        pass
    with locks.held(Rank.RUN, free):
        pass


def test_the_real_locks_have_their_places(config: Config, tmp_path: Path) -> None:
    image, record = tmp_path / "x.img", tmp_path / "x.img.json"
    record.touch()
    with run_lock(config), export_lock.closed(config), image_lock.here(image, record):
        assert locks._held == [Rank.RUN, Rank.WANTED, Rank.OPEN, Rank.IMAGE]
    assert not locks._held
    with image_lock.here(image, record):
        with pytest.raises(AssertionError, match="RUN must be taken before IMAGE"), run_lock(config):
            pass
        with pytest.raises(AssertionError, match="WANTED must be taken before IMAGE"), export_lock.closed(config):
            pass
    with export_lock.serving(config), export_lock.opening(config), image_lock.here(image, record):
        assert locks._held == [Rank.SERVING, Rank.OPEN, Rank.IMAGE]


def test_the_order_is_written_down() -> None:
    assert locks.__doc__
    assert re.findall(r"^    ([A-Z_]+) ", locks.__doc__, re.MULTILINE) == [rank.name for rank in sorted(Rank)]


def test_a_refusal_is_waited_for_and_then_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said = iter([Refusal(lambda: StorageError("it is busy"), 60), Refusal(lambda: StorageError("still"), 60)])
    with locks.held(Rank.IMAGE, lambda: next(said, None), pause=0.0):
        assert caplog.messages == ["it is busy; waiting for it"]
    said = iter([Refusal(lambda: StorageError("it is busy"), 60, None), Refusal(lambda: StorageError("no"))])
    with pytest.raises(StorageError, match=r"^no$"), locks.held(Rank.IMAGE, lambda: next(said), pause=0.0):
        pass
    assert len(caplog.messages) == 1


def test_an_interruption_that_the_log_has_swallowed_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not where something is undone, while it is on its way out: there a silent wait goes on."""
    monkeypatch.setattr("snapmirror.interrupts._State.raised", Interrupted(2, "SIGINT"))
    with (
        pytest.raises(Interrupted),
        locks.held(Rank.IMAGE, lambda: Refusal(lambda: StorageError("it is busy"), 60), pause=0.0),
    ):
        pass
    silent = iter([Refusal(lambda: StorageError("it is busy"), 60, None)])
    with locks.held(Rank.SHARE, lambda: next(silent, None), pause=0.0):
        pass


def test_who_has_what_one_program_may_open(tmp_path: Path) -> None:
    with locks.file_at(tmp_path / "lock") as file, locks.file_at(tmp_path / "lock") as other:
        assert lockfile.take(other, fcntl.LOCK_EX)
        refusal = locks.exclusive(file, "the image", 5.0)
        assert refusal is not None
        error = refusal.error()
        assert isinstance(error, TakenError)
        assert "the image is in use by another snapmirror" in error.message
        assert (error.exit_code, refusal.wait) == (ExitCode.LOCKED, 5.0)
        lockfile.let_go(other)
        assert locks.exclusive(file, "the image", 5.0) is None
        lockfile.let_go(file)
        stranger = held_by_a_stranger(tmp_path / "lock")
        refusal = locks.exclusive(file, "the image", 5.0)
        stranger.communicate()
        assert refusal is not None
        error = refusal.error()
        assert f"the image is in use by flock (pid {stranger.pid})" in error.message
        assert (error.exit_code, refusal.wait) == (ExitCode.STORAGE, 0.0), "it may never end"


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"the lock file .*/file/lock cannot be made") as caught,
        locks.file_at(tmp_path / "file" / "lock", hint="set state_dir"),
    ):
        pass
    assert caught.value.hint == "set state_dir"


def test_nobody_locks_past_the_order() -> None:
    """A lock that is taken in another way has no place in it. The log of the nights is locked for one write."""
    allowed = {"lockfile.py": "flock", "image_lock.py": "_F_OFD_SETLK", "logbook.py": "flock"}
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_bytes())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in names & {"flock", "lockf", "_F_OFD_SETLK"}:
            found[path.name] = name
    assert found == allowed


def test_attempts_stand_in_modules_that_take_by_the_order() -> None:
    """Who locks a file without `locks.held` would have no place in the order."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "lockfile.take(" in text and path.name != "locks.py":
            assert "locks.held(" in text, path


def test_the_stack_of_a_night_is_given_back_in_any_order() -> None:
    """ExitStack and threads may let go of locks in another order than they took them."""
    first, second = ExitStack(), ExitStack()
    first.enter_context(locks.held(Rank.SHARE, free))
    second.enter_context(locks.held(Rank.IMAGE, free))
    first.close()
    with pytest.raises(AssertionError):
        locks.held(Rank.SHARE, free).__enter__()
    second.close()
    with locks.held(Rank.RUN, free):
        pass


class Ending(type(Path())):  # type: ignore[misc]
    """/proc, in which the holder of the lock ends as the walk begins."""

    holder: IO[bytes] | None = None

    def glob(self, pattern: str) -> Iterator[Path]:
        assert self.holder is not None
        self.holder.close()
        return Path("/proc").glob(pattern)


def test_a_holder_that_ends_while_it_is_looked_for_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a night ended with 11, because a `list` had ended at that moment."""
    path = tmp_path / "lock"
    with path.open("wb") as file, path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        processes = Ending("/proc")
        processes.holder = other
        monkeypatch.setattr(lockfile, "_PROCESSES", processes)
        assert locks.exclusive(file, "it", 0) is None
        with path.open("rb") as third:
            assert not lockfile.take(third, fcntl.LOCK_SH), "it is held"
