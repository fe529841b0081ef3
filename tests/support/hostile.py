"""A sender that answers each request honestly and adds what nobody asked for; and the list of what it can add.

`tree(version)` is what the server has on a day: a few of its names change from day to day, the others never do.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.evil_daemon import FILE, FOLDER, SYMLINK, TIME, Entry, Order, Session, sort_key

Tree = dict[bytes, Entry]
FIFO, SOCKET = stat.S_IFIFO | 0o644, stat.S_IFSOCK | 0o644
CHARACTER, BLOCK = stat.S_IFCHR | 0o666, stat.S_IFBLK | 0o666
BIG = 40_000
"""Bytes of the file that is patched in place, if the store can; let clone_above be less."""
CHANGED, UNCHANGED_GROUP = 1, 2


def tree(version: int) -> Tree:
    """The server's tree. Of each folder some names change daily and some do not; so do folders and groups."""
    day, text = TIME + version, b"%07d" % version
    deep, block = stat.S_IFDIR | 0o750, b"0123456789" * (BIG // 10)
    return {
        b".": Entry(FOLDER, mtime=day),
        b"a": Entry(FILE, text, mtime=day),
        b"l": Entry(SYMLINK, target=b"a"),
        b"n": Entry(SYMLINK, target=text),
        b"z": Entry(FILE, b"never changes"),
        b"d": Entry(FOLDER, mtime=day),
        b"d/b": Entry(FILE, b"sealed"),
        b"d/big": Entry(FILE, block[:20_000] + text + block[20_007:], mtime=day),
        b"d/c": Entry(FILE, text, mtime=day),
        b"d/h1": Entry(FILE, b"one " + text, mtime=day, group=CHANGED),
        b"d/h2": Entry(FILE, b"one " + text, mtime=day, group=CHANGED),
        b"d/k1": Entry(FILE, b"the other", group=UNCHANGED_GROUP),
        b"d/k2": Entry(FILE, b"the other", group=UNCHANGED_GROUP),
        b"d/p": Entry(FIFO),
        b"d/deep": Entry(deep),
        b"d/deep/x": Entry(FILE, text, mtime=day),
        b"d/deep/y": Entry(FILE, b"sealed, too"),
        b"e": Entry(deep),
        b"e/f": Entry(FILE, b"also sealed"),
    }


def planned(version: int) -> set[bytes]:
    """Names that differ from the day before."""
    before = tree(version - 1)
    return {name for name, entry in tree(version).items() if entry != before[name]}


@dataclass(frozen=True)
class Attack:
    """What is sent on top, in this order, of a request.

    `instead`: asked-for names of these are not sent honestly. `left_out` are not sent at all. `says` is printed by the
    client's rsync, before the list. `order` chooses the answers that are sent to all requests.
    """

    sent: tuple[tuple[bytes, Entry], ...] = ()
    instead: bool = False
    left_out: frozenset[bytes] = frozenset()
    says: bytes = b""
    order: Order | None = None

    @property
    def names(self) -> set[bytes]:
        return {name for name, _ in self.sent} | self.left_out


LIST, CHECK, PROBE, NAMES, PATCH, ROOT, WHOLE = "list", "check", "probe", "names", "patch", "root", "whole"
MOVED = "moved"
TRANSFERS = (NAMES, PATCH, ROOT, WHOLE)


def kind_of(session: Session) -> str:
    """Which request of a night, or of a healing, this is."""
    if session.dry:
        if session.wanted:
            return MOVED if session.options.checksums else PROBE
        return CHECK if session.options.acls or session.options.xattrs else LIST
    if session.wanted:
        return PATCH if b"--inplace" in session.args else NAMES
    return WHOLE if session.options.recursive else ROOT


class Sender:
    """Behaves as `tree` says, and adds the attack to the requests of some kinds. `seen`: kinds that were attacked.

    `breaks_off`: after so many contents of an attacked request the connection ends.
    """

    def __init__(
        self, tree: Tree, attack: Attack | None = None, on: Collection[str] = TRANSFERS, breaks_off: int | None = None
    ) -> None:
        self.tree, self.attack, self.on, self.breaks_off = tree, attack, on, breaks_off
        self.seen: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, session: Session) -> None:
        kind, left, order = kind_of(session), float("inf"), None
        sent = list(self._honest(session).items())
        if self.attack and kind in self.on:
            with self._lock:
                self.seen.append(kind)
            left = float("inf") if self.breaks_off is None else self.breaks_off
            order = self.attack.order
            if self.attack.says:
                session.say(self.attack.says)
            gone = self.attack.names if self.attack.instead else self.attack.left_out
            sent = [(name, entry) for name, entry in sent if name not in gone]
            sent += self.attack.sent
        for name, entry in sent:
            session.send(name, entry)
        session.end_list()
        contents = [entry.content for _, entry in sorted(sent, key=lambda one: sort_key(_clean(one[0]), one[1].mode))]

        def content(number: int) -> Iterator[bytes]:
            nonlocal left
            left -= 1
            if left < 0:
                raise ConnectionAbortedError
            yield contents[number]

        session.serve(content, order)

    def _honest(self, session: Session) -> Tree:
        if not session.wanted:
            only_root = not session.dry and not session.options.recursive and b"- *" in session.filters
            return {b".": self.tree[b"."]} if only_root else self.tree
        names: dict[bytes, None] = {}
        for wanted in (name.rpartition(b"/./")[2] for name in session.wanted):
            # (with --no-implied-dirs, too: they are sent, and the client lets them be)
            names |= dict.fromkeys(wanted[:at] for at, letter in enumerate(wanted) if letter == ord("/"))
            names[wanted] = None
            if session.options.recursive:
                names |= dict.fromkeys(name for name in self.tree if name.startswith(wanted + b"/"))
        return {name: self.tree[name] for name in names if name in self.tree}


def _clean(name: bytes) -> bytes:
    """A name as the client sorts it."""
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b".")) or b"."


def attacks(version: int, victim: Path) -> dict[str, dict[str, Attack]]:
    """All attacks on a night that brings `tree(version)`, by what they are about. `victim` is a folder elsewhere."""
    now, outside = tree(version), os.fsencode(victim)
    evil = Entry(FILE, b"evil content", mtime=TIME + version)

    def like(name: bytes, **changes: object) -> tuple[bytes, Entry]:
        return name, replace(now[name], **changes)  # type: ignore[arg-type]

    def group(*names: bytes, extra: Mapping[bytes, Entry] | None = None) -> Attack:
        both = {**{name: now[name] for name in names}, **(extra or {})}
        return Attack(tuple((name, replace(entry, group=77)) for name, entry in both.items()), instead=True)

    def one(name: bytes, entry: Entry) -> Attack:
        return Attack(((name, entry),))

    def kinds(name: bytes, *, instead: bool = False) -> dict[str, Attack]:
        text = name.decode()
        return {
            f"{text} as {what}": Attack(((name, entry),), instead)
            for what, entry in {
                "a symlink": Entry(SYMLINK, target=outside), "a symlink to history": Entry(SYMLINK, target=b"../b"),
                "a folder": Entry(FOLDER), "a fifo": Entry(FIFO), "a socket": Entry(SOCKET),
                "a character device": Entry(CHARACTER, device=(1, 3)), "a block device": Entry(BLOCK, device=(7, 0)),
                "a file": evil,
            }.items()
        }  # fmt: skip

    return {
        "attributes of a sealed name": {
            "set-uid": Attack((like(b"d/b", mode=stat.S_IFREG | 0o4777),)),
            "another owner": Attack((like(b"d/b", uid=4321, gid=4321),)),
            "another time": Attack((like(b"d/b", mtime=TIME + 99),)),
            "an attribute": Attack((like(b"d/b", xattrs=((b"user.evil", b"1"),)),)),
            "capabilities": Attack((like(b"d/b", xattrs=((b"security.capability", b"\1\0\0\2" + b"\1" * 16),)),)),
            "of a fifo": Attack((like(b"d/p", mode=stat.S_IFIFO | 0o666),)),
            "of one of a group": Attack((like(b"d/k1", mode=stat.S_IFREG | 0o4777, group=0),)),
            "of a folder": Attack((like(b"d/deep", mode=FOLDER | 0o777),)),
            "of a symlink": Attack((like(b"l", uid=4321, mtime=TIME + 99),)),
            "of a file in a folder that is not asked for": Attack((like(b"d/deep/y", mode=stat.S_IFREG | 0o4777),)),
            "of a file at the root": Attack((like(b"z", mode=stat.S_IFREG | 0o4777),)),
            "of a file in a sealed folder": Attack((like(b"e", mode=FOLDER | 0o777), like(b"e/f", mode=FILE | 0o777))),
        },
        "content of a sealed name": {
            "another size": Attack((like(b"d/b", content=b"evil content", mtime=TIME + 99),)),
            "the same size, another time": Attack((like(b"d/b", content=b"eviled", mtime=TIME + 99),)),
            "the same size and time": Attack((like(b"d/b", content=b"eviled"),)),
            "empty": Attack((like(b"d/b", content=b"", mtime=TIME + 99),)),
            "of a group": Attack(tuple(like(name, content=b"evil", mtime=TIME + 9) for name in (b"d/k1", b"d/k2"))),
            "at the root": Attack((like(b"z", content=b"evil", mtime=TIME + 99),)),
            "two levels down": Attack((like(b"d/deep/y", content=b"evil", mtime=TIME + 99),)),
        },
        "another kind for a sealed name": {**kinds(b"d/b"), **kinds(b"d/deep"), **kinds(b"z")},
        "new names": {
            **kinds(b"d/evil"), **kinds(b"evil"),
            "two levels down": one(b"d/deep/evil", evil),
            "in a new folder": Attack(((b"d/evil", Entry(FOLDER)), (b"d/evil/evil", evil))),
            "in a new folder that is not sent": one(b"d/evil/evil", evil),
            "in a sealed folder": one(b"e/evil", evil),
            "many": Attack(tuple((b"d/evil%d" % number, evil) for number in range(300))),
            "with a line break": one(b"d/evil\n>f+++", evil),
            "with a dash": one(b"d/--evil", evil),
        },
        "names outside": {
            name.decode(): one(name, evil)
            for name in (
                b"../evil", b"d/../evil", b"d/../../evil", b"../../backup.1/d/b", b"d/../../../backup.1/d/b",
                b"../record.json", b"../manifests/evil", b".snapmirror/evil", b"d/./evil", b"d//evil", b"./d/evil",
                outside + b"/evil", b"d/..", b"..", b"/evil-of-snapmirror",
            )
        } | {
            "below a symlink": Attack(((b"d/evil", Entry(SYMLINK, target=outside)), (b"d/evil/evil", evil))),
            "below a symlink for a folder": Attack(((b"d/deep", Entry(SYMLINK, target=outside)), (b"d/deep/x", evil))),
            "below a symlink for the asked-for folder": Attack(
                ((b"d", Entry(SYMLINK, target=outside)), (b"d/c", evil)), instead=True
            ),
        },
        "asked-for names": {
            **kinds(b"d/c", instead=True), **kinds(b"n", instead=True),
            "d as a symlink": Attack(((b"d", Entry(SYMLINK, target=outside)),), instead=True),
            "d as a file": Attack(((b"d", evil),), instead=True),
            "twice": Attack((like(b"d/c", mode=stat.S_IFREG | 0o4777), like(b"d/c", content=b"evil"))),
            "as a file and a symlink": one(b"d/c", Entry(SYMLINK, target=outside)),
            "as a file and a folder": Attack(((b"d/c", Entry(FOLDER)), (b"d/c/evil", evil))),
            "in a folder of its own": Attack(((b"d/c", Entry(FOLDER)), (b"d/c/evil", evil)), instead=True),
            "big as a symlink to a sealed file": Attack(((b"d/big", Entry(SYMLINK, target=b"b")),), instead=True),
            "big as a folder": Attack(((b"d/big", Entry(FOLDER)), (b"d/big/evil", evil)), instead=True),
            "not sent": Attack(left_out=frozenset({b"d/c", b"d", b"n"})),
            "the root with another mode": Attack((like(b".", mode=FOLDER | 0o777),), instead=True),
            "a folder with another mode": Attack((like(b"d", mode=FOLDER | 0o777),), instead=True),
            "without a type": Attack((like(b"d/c", mode=0),), instead=True),
            "d/c as a file, and set-uid": Attack((like(b"d/c", mode=stat.S_IFREG | 0o4777),), instead=True),
        },
        "hard links": {
            "an asked-for name with a sealed one": group(b"d/c", b"d/b"),
            "an asked-for name with a new one": group(b"d/c", extra={b"d/evil": evil}),
            "an asked-for group with a sealed name": Attack((like(b"d/b", group=CHANGED),)),
            "an asked-for group with a sealed group": Attack((like(b"d/k1", group=CHANGED),)),
            "an asked-for group with a new name": Attack(((b"d/evil", replace(now[b"d/h1"], group=CHANGED)),)),
            "an asked-for group with a name of another content": Attack(
                (like(b"d/b", content=b"evil", mtime=TIME + 9, group=CHANGED),)
            ),
            "a sealed group with a new name": Attack(
                (like(b"d/k1", mode=FILE | 0o777), like(b"d/k2"), (b"d/evil", now[b"d/k1"]))
            ),
            "two asked-for names": group(b"d/c", b"d/h1"),
            "big with a sealed name": group(b"d/big", b"d/b"),
            "a symlink with a file": group(b"d/c", extra={b"d/evil": Entry(SYMLINK, target=b"b")}),
        },
    }  # fmt: skip


def of_the_whole(version: int, victim: Path) -> dict[str, Attack]:
    """Attacks on the request for a tree, of whose names no list is sent; `d/not-this` is excluded."""
    now, evil = tree(version), Entry(FILE, b"evil content", mtime=TIME + version)
    grown = replace(now[b"d/c"], content=b"x" * (2 << 20))
    below = {b"d/evil/" * depth + b"evil": evil for depth in (1, 2, 3)}
    folders = {b"d/" + b"evil/" * depth + b"evil": Entry(FOLDER) for depth in range(3)}

    def every(step: int) -> Order:
        return lambda requests: requests[::step]

    return {
        "answers in reverse": Attack(order=every(-1)),
        "every second answer": Attack(order=every(2)),
        "no answers": Attack(order=lambda _: ()),
        "each answer twice": Attack(order=lambda requests: [one for one in requests for _ in (1, 2)]),
        "all answers twice": Attack(order=lambda requests: [*requests, *requests]),
        "an answer for a folder": Attack(order=lambda requests: [*requests, replace(requests[-1], number=0)]),
        "contents exchanged": Attack(order=lambda requests: [
            replace(one, number=other.number) for one, other in zip(requests, reversed(requests), strict=True)
        ]),
        "contents that fail their check": Attack(order=lambda requests: [replace(one, fails=True) for one in requests]),
        "contents that fail their check once": Attack(order=lambda requests: [
            *(replace(one, fails=True) for one in requests if len(requests) > 5), *requests
        ]),
        "an excluded name": Attack(((b"d/not-this", evil),)),
        "an excluded folder": Attack(((b"not-this", Entry(FOLDER)), (b"not-this/evil", evil))),
        "a whole folder": Attack((*folders.items(), *below.items())),
        "a folder twice": Attack(((b"d", replace(now[b"d"], mode=FOLDER | 0o777)), (b"d/c", evil))),
        "half of a folder twice": Attack(((b"d/deep", now[b"d/deep"]), (b"d/deep/y", evil), (b"d/deep/z", evil))),
        "a big name": Attack(((b"d/evil", replace(evil, content=b"x" * (2 << 20))),)),
        "a name that is big by now": Attack(((b"d/c", grown),), instead=True),
        "nothing but the root": Attack(left_out=frozenset(now.keys() - {b"."})),
        "not even the root": Attack(left_out=frozenset(now)),
        "many": Attack(tuple((b"evil%d" % number, evil) for number in range(5_000))),
    }  # fmt: skip


Choose = Callable[[int, Path], Mapping[str, Attack]]


def about(subject: str) -> Choose:
    """The attacks about one subject, each for a night's version."""
    return lambda version, victim: attacks(version, victim)[subject]


FEW = {
    "attributes of a sealed name": ("set-uid", "an attribute", "of one of a group", "of a folder"),
    "content of a sealed name": ("another size", "the same size and time", "two levels down"),
    "another kind for a sealed name": ("d/b as a symlink", "d/b as a folder", "d/b as a fifo"),
    "new names": ("d/evil as a file", "d/evil as a symlink", "evil as a file", "with a line break"),
    "names outside": ("d/../../../backup.1/d/b", "d/./evil", "below a symlink for the asked-for folder"),
    "asked-for names": ("twice", "in a folder of its own", "not sent", "the root with another mode"),
    "hard links": ("an asked-for name with a sealed one", "an asked-for group with a new name"),
}
"""What stands for all where there is no time for all."""


def a_few(version: int, victim: Path) -> dict[str, Attack]:
    """Some of each subject."""
    all_ = attacks(version, victim)
    return {f"{subject}: {what}": all_[subject][what] for subject, names in FEW.items() for what in names}
