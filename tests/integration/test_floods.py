"""A server that sends without an end: entries, folders in folders, messages, complaints, the content of a file.

The daemon is ours (`evil_daemon`) and speaks rsync's own protocol. Each flood ends by itself with a sentence and its
exit code; meanwhile memory and space have limits; history is as it was, and the next honest night is right.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Figures
from tests.support.evil_daemon import ERROR, FILE, FOLDER, SYMLINK, Session, daemon_running
from tests.support.files import flip
from tests.support.runner import LONG, History, Result, Scene

MEMORY = 400 << 20  # of one process: what rsync may take for 20,000 entries, and as much again
SPACE = 1 << 30  # of the store and of the folder for temporary files (64 MiB, and what comes within a second)
SMALL: dict[str, Any] = {"max_entries": 20_000, "min_free": "1M", "min_free_inodes": 10}


def honest(session: Session) -> None:
    """What the source really is."""
    session.tree({b"a": (FILE, 5), b"d": (FOLDER, 0), b"d/b": (FILE, 5)})


def endless_entries(session: Session) -> None:
    session.entry(b".", FOLDER)
    number = 0
    while True:
        session.frame(b"".join(session.packed(b"f%012d" % n, FILE, 5) for n in range(number, number + 1000)))
        number += 1000


def endless_links(session: Session) -> None:
    """The largest entries there are."""
    session.entry(b".", FOLDER)
    number = 0
    while True:
        session.frame(session.packed(b"l%012d" % number, SYMLINK, 4000, target=b"t" * 4000))
        number += 1


def many_entries(session: Session) -> None:
    """More than are allowed, but with an end."""
    session.entry(b".", FOLDER)
    session.frame(b"".join(session.packed(b"f%012d" % n, FILE, 5) for n in range(50_000)))
    session.end_list()
    session.serve(lambda _: iter([b"12345"]))


def endless_depth(session: Session) -> None:
    session.entry(b".", FOLDER)
    path = b"d"
    while True:
        session.frame(session.packed(path, FOLDER))
        path += b"/d"


def endless_messages(session: Session) -> None:
    while True:
        session.say(b"hello, administrator\n" * 1000)


def endless_line(session: Session) -> None:
    while True:
        session.say(b"and " * 4000)


def endless_complaints(session: Session) -> None:
    while True:
        session.say(b"rsync: [sender] something is wrong\n" * 900, ERROR)


def in_the_transfer(flood: Callable[[Session], None]) -> Callable[[Session], None]:
    """Honest while it lists; the flood comes with the files."""

    def behave(session: Session) -> None:
        if session.dry:
            session.tree({b"a": (FILE, 6), b"d": (FOLDER, 0), b"d/b": (FILE, 5)})
        else:
            flood(session)

    return behave


def endless_file(session: Session) -> None:
    """Six bytes are listed; what comes has no end."""

    def pieces(_: int) -> Iterator[bytes]:
        while True:
            yield b"x" * 0x8000

    session.entry(b"a", FILE, 6)
    session.end_list()
    session.serve(pieces)


def exabyte(session: Session) -> None:
    """A sparse file can claim any size; every user of the server can make one."""
    session.tree({b"a": (FILE, 5), b"huge": (FILE, 1 << 60)})


FLOODS: dict[str, tuple[Callable[[Session], None], int, str]] = {
    "entries of one folder": (endless_entries, 12, "memory"),
    "symlinks of one folder": (endless_links, 12, "memory"),
    "too many entries": (many_entries, 13, "max_entries = 20000"),
    "folders in folders": (endless_depth, 12, ""),
    "messages": (endless_messages, 13, "max_entries = 20000"),
    "a line": (endless_line, 12, "a line without an end"),
    "complaints": (endless_complaints, 12, "complains without an end"),
    "entries, when files were asked for": (in_the_transfer(endless_entries), 12, ""),
    "messages, in the transfer": (in_the_transfer(endless_messages), 12, "messages without an end"),
    "complaints, in the transfer": (in_the_transfer(endless_complaints), 12, "complains without an end"),
    "a file of an exabyte": (exabyte, 11, "huge"),
}


class Watch:
    """The most that a command has held, seen every twentieth of a second."""

    def __init__(self, scene: Scene, *words: str) -> None:
        self.memory = self.space = 0
        process, before = scene.start(*words), _taken(scene, [])
        while process.poll() is None:
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                self.space = max(self.space, _taken(scene, family) - before)
                for one in family:
                    self.memory = max(self.memory, one.memory_info().rss)
            except psutil.Error:
                continue
            time.sleep(0.05)
        self.result: Result = scene.finish(process)


def _taken(scene: Scene, family: Sequence[psutil.Process]) -> int:
    """Bytes that the store takes, and files in the folder for temporary ones, also those of a family without a name."""
    files: dict[int, int] = {}
    for folder in (scene.store, scene.scratch):
        for path in folder.rglob("*"):
            try:
                files[path.lstat().st_ino] = path.lstat().st_blocks * 512
            except OSError:
                continue
    for process in family:
        try:
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                if str(descriptor.readlink()).startswith(str(scene.scratch)):
                    files[descriptor.stat().st_ino] = descriptor.stat().st_blocks * 512
        except OSError:
            continue
    return sum(files.values())


QUICK = [what for what in FLOODS if what not in ("symlinks of one folder", "complaints, in the transfer")]


@pytest.mark.parametrize("what", FLOODS if LONG else QUICK)
def test_a_flood_ends(scene: Scene, what: str, figures: Figures) -> None:
    behave, code, says = FLOODS[what]
    with daemon_running(honest) as source:
        scene.configure(source=source, acls=False, xattrs=False, timeout_seconds=20, guard=SMALL)
        scene.night()
    history = History(scene)
    history.check()
    with daemon_running(behave) as source:
        scene.configure(source=source)
        watch = Watch(scene, "run", "--json")
    result = watch.result
    assert result.exit_code == code, str(result)
    assert result.mirror["result"] == "failed" and says in f"{result.mirror['error']} {result.mirror['hint']}"
    assert len(result.stderr.splitlines()) < 30 and max(map(len, result.stderr.splitlines())) < 1000, str(result)
    assert watch.memory < MEMORY and watch.space < SPACE, f"{watch.memory >> 20} MiB, {watch.space >> 20} MiB"
    before = history.ids
    assert history.check() == before
    assert scene.leftovers() == []
    with daemon_running(honest) as source:
        scene.configure(source=source)
        scene.night()
    history.check()
    assert sorted(path.name for path in scene.slots()[1].rglob("*")) == ["a", "b", "d"]
    figures.add(f"floods: {what}: ended with {code}, {watch.memory >> 20} MiB of memory, {watch.space >> 20} of space")


def test_a_good_copy_without_an_end(scene: Scene) -> None:
    """A damaged file is healed: the server offers what it was, and sends without an end."""

    def behave(session: Session) -> None:
        honest(session) if session.dry else endless_file(session)

    with daemon_running(honest) as source:
        scene.configure(source=source, acls=False, xattrs=False, timeout_seconds=20, guard=SMALL)
        scene.night()
    for name in ("a", "d/b"):  # both have the same content
        flip(scene.slots()[1] / name)
    with daemon_running(behave) as source:
        scene.configure(source=source)
        watch = Watch(scene, "verify", "--json", "--heal")
    assert watch.result.exit_code == 14 and "more than it has offered" in watch.result.stdout, str(watch.result)
    assert watch.memory < MEMORY and watch.space < SPACE, f"{watch.memory >> 20} MiB, {watch.space >> 20} MiB"
    assert scene.leftovers() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a loop device needs root")
def test_a_file_without_an_end(tmp_path: Path, figures: Figures) -> None:
    """It may fill the store up to min_free; that room is given back at once, and the next night has it."""
    scene = Scene(tmp_path, image={"file": str(tmp_path / "disk"), "size": "512M", "encryption": "none"})
    try:
        made = scene.command("init")
        assert made.exit_code == 0, str(made)
        limits = {**SMALL, "min_free": "100M"}
        with daemon_running(honest) as source:
            scene.configure(source=source, acls=False, xattrs=False, guard=limits)
            scene.night()
        history = History(scene)
        with scene.browsing():
            history.check()
            room = os.statvfs(scene.store)
            assert room.f_flag & os.ST_NOSUID and room.f_flag & os.ST_NODEV, "what a server sends stays inert here"
        with daemon_running(in_the_transfer(endless_file)) as source:
            scene.configure(source=source)
            result = scene.night(expect=(11,))
        assert "min_free" in result.mirror["error"], str(result)
        assert scene.leftovers() == []
        with scene.browsing():
            assert history.check() == history.ids
            now = os.statvfs(scene.store)
        kept = (room.f_bavail - now.f_bavail) * now.f_frsize
        assert kept < 4 << 20, f"{kept} bytes are not given back"
        with daemon_running(honest) as source:
            scene.configure(source=source)
            scene.night()
        figures.add(f"floods: a file without an end: ended with 11, {kept >> 10} KiB kept afterwards")
    finally:
        scene.release()
