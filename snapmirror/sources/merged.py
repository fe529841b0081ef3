"""Several sources as one tree: others are grafted into a main source's tree, each at a folder of its own.

The grafted part wins: names of the main source at the part's folder or below it are dropped, and so is a file in the
place of one of the folders above it. The listing complains of this once. Folders above it that the main source lacks
are made, always with the same attributes.

Sources do not trust each other. Each one is fetched into a tree of its own, and the trees are joined by renaming once
all have ended: the main source can neither write among another's files nor send lines in its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec.structs import replace

from snapmirror.model import count
from snapmirror.snapshots.compare import checked
from snapmirror.snapshots.entry import (
    Entry,
    escape,
    is_inside,
    is_within,
    key_of,
    parse_permissions,
    parse_time,
    path_key,
    path_of,
    plain_line,
    unescape,
)
from snapmirror.snapshots.lines import Line, is_entry, is_link
from snapmirror.snapshots.names import FolderAttributes, Tree, remove_tree
from snapmirror.snapshots.staging import carry
from snapmirror.snapshots.times import IsNearest
from snapmirror.sources.leaders import Leaders
from snapmirror.sources.protocol import Fetch, Into, Listing, Source, unasked
from snapmirror.tools.rsync_output import Sent

_MADE_MODE, _MADE_TIME = b"rwxr-xr-x", b"2000/01/01-00:00:00"


def merged(main: Source, parts: Iterable[tuple[str, Source]]) -> Source:
    """One tree of a main source and others at these folders: paths in the tree, like "dumps/db".

    A part may lie in the folder of one before it. Raises ValueError for an impossible folder.
    """
    for folder, part in parts:
        main = Grafted(main, os.fsencode(folder), part)
    return main


class Grafted:
    """A source with another one's tree in the place of one of its folders.

    The same object lists and fetches: the listing shows which folders have to be made.
    """

    def __init__(self, main: Source, folder: bytes, part: Source) -> None:
        if folder == b"." or not is_inside(folder) or b"\n" in folder:
            raise ValueError(f"{os.fsdecode(folder)!r} is no folder for another source")
        self._main, self._folder, self._part = main, folder, part
        self._below = folder + b"/"
        parts = folder.split(b"/")
        self._above = [b"/".join(parts[:depth]) for depth in range(1, len(parts))]
        self._made: dict[bytes, Line] = {}  # the folders above the part that were made, with their lines

    def __str__(self) -> str:
        return str(self._main)

    def check(self) -> None:
        """See `protocol.Source`."""
        self._main.check()
        self._part.check()

    def _is_parts(self, path: bytes) -> bool:
        return is_within(path, self._folder)

    def _whole(self, path: bytes) -> bytes:
        """A path of the part, in the whole tree."""
        return self._folder if path == b"." else self._below + path

    def _whole_line(self, line: Line) -> Line:
        """The same for a line."""
        head, slashes, name = line.rpartition(b"//")
        below = escape(self._below)
        if is_link(line):
            before, arrow, leader = head.partition(b"| => ")
            head = before + arrow + below + leader
        return Line(head + slashes + (below if name == b"./" else below + name))

    # --- listing

    @contextmanager
    def connected(self) -> Iterator[None]:
        """See `protocol.Source`."""
        with self._main.connected(), self._part.connected():
            yield

    @contextmanager
    def listed(self, *, expected: int) -> Iterator[Listing]:
        """See `protocol.Source`."""
        with self._main.listed(expected=expected) as main, self._part.listed(expected=0) as part:
            both = Listing(iter(()))
            with closing(self._blocks(both, main, part)) as both.blocks:
                yield both

    def _blocks(self, both: Listing, main: Listing, part: Listing) -> Generator[list[Line]]:
        place = key_of(self._folder, is_directory=True)
        left = _Remaining(self._folder, self._above)
        for block in main.blocks:
            lines = left.of(block)
            # further names of files are listed out of order, right behind the first one
            plain = (line for line in reversed(lines) if is_entry(line) and not is_link(line))
            last = None if left.is_grafted else next(plain, None)
            if last is not None and path_key(last) > place:
                before = {line for line in lines if is_entry(line) and not is_link(line) and path_key(line) < place}
                yield [line for line in lines if line in before]
                yield from self._graft(left, part)
                lines = [line for line in lines if line not in before]
            yield lines
        if not left.is_grafted:
            yield from self._graft(left, part)
        both.partial = main.partial or part.partial
        hidden = [f"{count(left.dropped, 'name')} of {self._main} make way for {self._part}"] if left.dropped else []
        both.complaints = [*main.complaints, *hidden, *part.complaints]
        both.skipped.extend(pair for pair in main.skipped if pair[0] and not self._is_parts(unescape(pair[0])))
        both.skipped.extend((escape(self._below) + name, why) for name, why in part.skipped if name)

    def _graft(self, left: _Remaining, part: Listing) -> Iterator[list[Line]]:
        left.is_grafted = True
        attributes = b"|".join((b"d", _MADE_MODE, b"%d" % os.geteuid(), b"%d" % os.getegid(), b"4096", _MADE_TIME))
        self._made = {path: plain_line(attributes, path) for path in self._above if path not in left.seen}
        yield list(self._made.values())
        for block in part.blocks:
            yield [self._whole_line(line) for line in block if is_entry(line)]

    # --- comparing

    def changed(self, tree: Path, is_nearest: IsNearest, among: Sequence[bytes] | None = None) -> set[bytes]:
        """See `protocol.Source`."""
        ours = None if among is None else [path for path in among if not self._is_parts(path)]
        found = set[bytes]()
        if ours is None or ours:
            found = {path for path in self._main.changed(tree, is_nearest, ours) if not self._is_parts(path)}
        theirs = None if among is None else self._inner(among)
        if (theirs is None or theirs) and Tree(tree).is_folder(self._folder):  # otherwise all of it is new
            changed = self._part.changed(_at(tree, self._folder), is_nearest, theirs)
            found |= {self._whole(path) for path in changed}
        return found

    def _inner(self, paths: Iterable[bytes]) -> list[bytes]:
        """The paths among these that belong to the part, except its root, relative to the part."""
        return [path.removeprefix(self._below) for path in paths if path.startswith(self._below)]

    # --- fetching

    whole = None
    """Names of the main source make way for the part."""

    @contextmanager
    def fetch(
        self,
        names: Sequence[bytes] | None,
        into: Into,
        *,
        doing: str,
        tick: Callable[[], None] | None = None,
        dry_run: bool = False,
    ) -> Iterator[Fetch]:
        """See `protocol.Source`."""
        both = Fetch(iter(()))

        def asked(source: Source, names: Sequence[bytes] | None, into: Into) -> Generator[Sent]:
            with source.fetch(names, into, doing=doing, tick=tick, dry_run=dry_run) as one:
                yield from one.arrived
            both.bytes += one.bytes
            both.saved += one.saved
            both.saw_vanishing = both.saw_vanishing or one.saw_vanishing
            both.failure = both.failure or one.failure
            both.complaints += one.complaints

        def arrived() -> Generator[Sent]:
            if names is None:
                yield from asked(self._main, None, into)
                return
            made = [path for path in names if path in self._made]
            ours = [path for path in names if not self._is_parts(path) and path not in self._made]
            with self._beside(into, names, doing.format(self)) as inner:
                if ours:
                    sent = asked(self._main, ours, into)
                    yield from (one for one in sent if not self._is_parts(path_of(Line(one.line))))
                if theirs := self._inner(names):
                    yield from map(self._whole_sent, asked(self._part, theirs, inner))
                if self._folder in names:  # its root, last: everything else changes its times
                    yield from map(self._whole_sent, asked(self._part, None, inner))
            for path in reversed(made):
                _make(Tree(into.tree), path)
                yield Sent(self._made[path], b"")

        with closing(arrived()) as both.arrived:
            yield both

    def _whole_sent(self, sent: Sent) -> Sent:
        return replace(sent, line=self._whole_line(Line(sent.line)))

    @contextmanager
    def _beside(self, into: Into, names: Sequence[bytes], what: str) -> Iterator[Into]:
        """The folder for the part's names until the main source's have arrived; then they are moved to their place."""
        if not any(map(self._is_parts, names)):
            yield into
            return
        here, beside = Tree(into.tree), _free(into.tree)
        beside.mkdir(mode=0o700)
        there = Tree(beside)
        if here.is_folder(self._folder):  # files that the part continues with
            carry(here, there, self._folder)
        there.make_folder(self._folder)
        basis = _at(into.basis, self._folder) if into.basis and Tree(into.basis).is_folder(self._folder) else None
        yield replace(into, tree=_at(beside, self._folder), basis=basis, top=into.top or beside)
        here = Tree(into.tree)  # its knowledge of folders may be outdated
        if here.inode(self._folder) is not None:
            raise unasked([escape(self._folder)], what)
        before = {path: here.attributes(path) for path in (b".", *self._above)}
        carry(there, here, self._folder)
        for path, attributes in reversed(before.items()):
            if attributes is not None:
                here.set_attributes(path, attributes)
        remove_tree(beside)


def _make(tree: Tree, path: bytes) -> None:
    """Make a folder with the attributes in the lines of made folders."""
    tree.make_folder(path)
    nanoseconds = parse_time(_MADE_TIME) * 1_000_000_000
    mode = parse_permissions(_MADE_MODE)
    tree.set_attributes(path, FolderAttributes(mode, os.geteuid(), os.getegid(), nanoseconds, nanoseconds))


class _Remaining:
    """The main source's lines that remain. `seen` are folders above the part, `dropped` counts the lines left out."""

    def __init__(self, folder: bytes, above: Sequence[bytes]) -> None:
        self._folder, self._below, self._above = folder, folder + b"/", frozenset(above)
        self._signs = [b"//" + escape(folder), b"| => " + escape(folder)]
        for path in above:
            name = escape(path)
            self._signs += [b"//" + name + b"\n", b"//" + name + b"/\n", b"| => " + name + b"//"]
        self._leaders = Leaders()
        self.seen: set[bytes] = set()
        self.is_grafted = False
        self.dropped = 0

    def of(self, block: list[Line]) -> list[Line]:
        """The lines of a block that remain. A block that does not touch the part's folder is passed on unchanged."""
        text = b"\n".join(block) + b"\n"
        if not any(sign in text for sign in self._signs):
            return block
        return [left for line in block if (left := self._left(line)) is not None]

    def _left(self, line: Line) -> Line | None:
        if not is_entry(line) or not any(sign in line + b"\n" for sign in self._signs):
            return line
        one = checked(line)
        if self._is_dropped(one):
            self._leaders.left_out(one)
            self.dropped += not one.is_directory or one.path.startswith(self._below)
            return None
        return self._leaders.follow(one) if one.leader is not None and self._is_hidden(one.leader) else line

    def _is_dropped(self, one: Entry) -> bool:
        if not one.is_directory or one.path not in self._above:
            return self._is_hidden(one.path)
        if self.is_grafted:
            return True  # out of order: it has been made already
        self.seen.add(one.path)
        return False

    def _is_hidden(self, path: bytes) -> bool:
        """Whether it belongs to the part, or is not a folder though its path is that of a folder above the part."""
        return is_within(path, self._folder) or path in self._above


def _at(tree: Path, folder: bytes) -> Path:
    return tree / os.fsdecode(folder)


def _free(tree: Path) -> Path:
    """An unused name beside a tree."""
    number = 1
    while os.path.lexists(beside := tree.with_name(f"{tree.name}.{number}")):
        number += 1
    return beside
