"""A daemon whose transfer contradicts its listing, or that sends rubbish: the slot, the record and history stay right.

The daemon is ours (`evil_daemon`). After each night, published or not, what the record says is what is on the disk, the
sealed snapshot is untouched, nothing outside the slot has moved, and an honest night is right.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import Figures
from tests.support.evil_daemon import FILE, FOLDER, SYMLINK, Session, daemon_running
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import LONG, History, Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices need root")
Tree = Mapping[bytes, tuple[int, int]]
HONEST: Tree = {b"a": (FILE, 5), b"d": (FOLDER, 0), b"d/b": (FILE, 5), b"d/c": (FILE, 7)}
LISTED: Tree = {**HONEST, b"a": (FILE, 6), b"d/c": (FILE, 8), b"new": (FILE, 4), b"e": (FOLDER, 0), b"e/f": (FILE, 3)}


def differently(sent: Tree, *, unasked: bool = False) -> Callable[[Session], None]:
    """Lists `LISTED`; of what is asked for, sends what `sent` says instead."""

    def behave(session: Session) -> None:
        if session.dry:
            session.tree(LISTED)
            return
        if unasked:
            session.wanted += list(sent)
        session.tree({**LISTED, **sent})

    return behave


def entries_of(names: Mapping[bytes, tuple[int, bytes]]) -> Callable[[Session], None]:
    """Honest while it lists; then symlinks in the place of names, whatever was asked for."""

    def behave(session: Session) -> None:
        if session.dry:
            session.tree(LISTED)
            return
        session.entry(b".", FOLDER)
        for name, (mode, target) in names.items():
            session.entry(name, mode, len(target), target=target)
        session.end_list()
        session.serve(lambda _: iter([b"x"]))

    return behave


def rubbish(seed: int, after: int) -> Callable[[Session], None]:
    """A good beginning of so many entries, and then random bytes."""

    def behave(session: Session) -> None:
        for name, (mode, size) in list({b".": (FOLDER, 0), **LISTED}.items())[:after]:
            session.entry(name, mode, size)
        session.raw(random.Random(seed).randbytes(100_000))

    return behave


def cut(after: int) -> Callable[[Session], None]:
    """The connection ends after so many entries."""

    def behave(session: Session) -> None:
        for name, (mode, size) in list({b".": (FOLDER, 0), **LISTED}.items())[:after]:
            session.entry(name, mode, size)

    return behave


TRICKS: dict[str, Callable[[Session], None]] = {
    "a folder for a file": differently({b"new": (FOLDER, 0)}),
    "a file for a folder": differently({b"e": (FILE, 3)}),
    "a fifo for a file": differently({b"a": (stat.S_IFIFO | 0o644, 0)}),
    "another size": differently({b"a": (FILE, 60_000), b"d/c": (FILE, 0)}),
    "setuid for plain": differently({b"a": (stat.S_IFREG | 0o6755, 6)}),
    "names that were not asked for": differently({b"d/b": (FILE, 50)}, unasked=True),
    "names outside, not asked for": differently({b"../../backup.1/a": (FILE, 50)}, unasked=True),
    "an absolute name": differently({b"/etc/snapmirror-evil": (FILE, 50)}, unasked=True),
    "a symlink for a folder": entries_of({b"e": (SYMLINK, b"../../backup.1"), b"e/f": (FILE, b"")}),
    "a symlink for a folder that is there": entries_of({b"d": (SYMLINK, b"/etc"), b"d/c": (FILE, b"")}),
    "a symlink for a file": entries_of({b"a": (SYMLINK, b"/etc/passwd")}),
    "nothing of what was listed": entries_of({}),
    **{f"rubbish after {after} entries, {seed}": rubbish(seed, after) for seed in range(2) for after in (0, 3, 9)},
    **{f"the end after {after} entries": cut(after) for after in (0, 4, 9)},
}


def honest(session: Session) -> None:
    session.tree(HONEST)


QUICK = (
    "a folder for a file", "another size", "setuid for plain", "names outside, not asked for",
    "a symlink for a folder that is there", "a symlink for a file", "nothing of what was listed",
    "rubbish after 3 entries, 0", "the end after 9 entries",
)  # fmt: skip


@pytest.mark.parametrize("what", TRICKS if LONG else QUICK)
def test_a_contradiction(scene: Scene, what: str, figures: Figures) -> None:
    victim = scene.folder / "victim"
    victim.mkdir()
    (victim / "precious").write_text("not ours")
    with daemon_running(honest) as source:
        scene.configure(source=source, acls=False, xattrs=False, timeout_seconds=10)
        scene.night()
    history = History(scene)
    history.check()
    before = fingerprint(victim)
    with daemon_running(TRICKS[what]) as source:
        scene.configure(source=source)
        result = scene.night(expect=(0, 3, 12))
    history.check()
    assert not compare(before, fingerprint(victim)) and not Path("/etc/snapmirror-evil").exists()
    assert scene.leftovers() == []
    if result.exit_code == 12:
        assert len(history.ids) == 1 and result.mirror["error"], str(result)
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, f"{result}\n{verified}"
    with daemon_running(honest) as source:
        scene.configure(source=source)
        scene.night()
    history.check()
    newest = scene.slots()[1]
    found = {os.fsencode(path.relative_to(newest)): path.lstat() for path in newest.rglob("*")}
    assert {name: (one.st_mode, one.st_size) for name, one in found.items() if stat.S_ISREG(one.st_mode)} == {
        name: kind for name, kind in HONEST.items() if stat.S_ISREG(kind[0])
    }
    assert found.keys() == HONEST.keys()
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    figures.add(f"contradictions: {what}: ended with {result.exit_code}, 0 lost")
