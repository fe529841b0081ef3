"""Reads all contents back, a share at a time: the progress of a round, what is due, and the reading.

A round covers all places of checksums (see `draw`) at an even pace, counted in time and not in nights: nights that were
missed, or had too little time, make the next share larger, and a second run on the same day finds nothing due. The
progress is saved after every stretch, so after a crash only one stretch is read twice.

Damage found by a night or by any other verification is remembered until it is healed, or no longer stored: the end of a
round does not mean that it is gone. Damaged contents are read again each time. Wrong names, attributes and records
cannot be seen without walking a tree: they are remembered until the next verification.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from snapmirror import files
from snapmirror.errors import DamageError
from snapmirror.model import Progress, ReadBack
from snapmirror.schedule import Every, due
from snapmirror.snapshots.history import History
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.record import Id, make_id, parse_id
from snapmirror.snapshots.verify.attributes import kind_name, kind_of
from snapmirror.snapshots.verify.content import ContentCheck, Sums
from snapmirror.snapshots.verify.draw import WHOLE, Content, draw, names
from snapmirror.snapshots.verify.findings import (
    CHECKSUMS,
    CONTENT,
    FOLDER,
    MANIFEST,
    MISSING,
    TYPE,
    UNREADABLE,
    Finding,
    Report,
)
from snapmirror.tools import filesystems

_DAY = timedelta(days=1)
_A_SHARE = Every(_DAY, early=_DAY / 2)  # a second run on the same day reads nothing more
_AT_ONCE = 50_000  # contents that are drawn together: some 15 MB of memory
_STRETCH = 4096  # contents that are read between two notes,
_STRETCH_BYTES = 1 << 30  # unless they are large
_MOST_DAMAGED = 1000
_OF_CONTENTS = frozenset({CONTENT, UNREADABLE})
_OF_FILES_READ = _OF_CONTENTS | {MISSING, TYPE}
_HIDING = frozenset({MANIFEST, FOLDER})  # other damage there cannot be seen
_Key = tuple[str, int, bytes, str]


class Damaged(BaseModel):
    """Damage at the last check, and the time since when it is known.

    Of the kind `content` it is a file that is to be read again, named by its inode; nothing else is recorded. Of other
    kinds `detail` and `snapshots` are those of the finding; the path is empty if a whole snapshot is concerned.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    number: int
    path_base64: Base64Bytes
    since: Id
    kind: str = CONTENT
    detail: str = ""
    snapshots: tuple[Id, ...] = ()

    @property
    def key(self) -> _Key:
        """Its identity."""
        return self.kind, self.number, self.path_base64, self.detail

    def only_in(self, snapshots: Collection[str]) -> Damaged | None:
        """The rest of it if only these snapshots count."""
        left = tuple(one for one in self.snapshots if one in snapshots)
        return self.model_copy(update={"snapshots": left}) if left else None

    def finding(self) -> Finding:
        """The finding from which it was made."""
        return Finding(self.kind, self.path_base64 or None, self.detail, self.number, list(self.snapshots))


def _remembered(finding: Finding, kinds: Container[str], since: Mapping[_Key, str], now: datetime) -> Damaged:
    """A finding as remembered damage; one of these kinds counts as damage of a file's content."""
    path, snapshots = finding.path or b"", tuple(finding.snapshots)
    kind, detail = finding.kind, finding.detail.encode("utf-8", "backslashreplace").decode()
    if path and finding.number and kind in kinds:
        kind, detail, snapshots = CONTENT, "", ()
    return Damaged.model_construct(
        number=finding.number, path_base64=path, kind=kind, detail=detail, snapshots=snapshots,
        since=since.get((kind, finding.number, path, detail), make_id(now)),
    )  # fmt: skip


class Round(BaseModel):
    """The progress of this round, and when the last one was complete.

    `place` is the beginning of a checksum: everything before it has been read in this round. `until`: everything due by
    then has been read.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    format: Literal["snapmirror read back"] = "snapmirror read back"
    version: Literal[1] = 1
    place: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = "0" * 16
    until: Id | None = None
    completed: Id | None = None
    damaged: tuple[Damaged, ...] = ()

    def due(self, now: datetime, days: int) -> float:
        """The share of all contents to read now, so that each is read within so many days.

        A round takes one day less than that, so that the promise also holds for contents right after a night's share.
        With 0 days nothing is read for the round.
        """
        if days < 1:
            return 0.0
        until = parse_id(self.until) if self.until is not None else None
        if not due(_A_SHARE, until, now).is_due:
            return 0.0
        owed = 1.0 if until is None or until > now else (now - until) / _DAY
        return 1.0 if days <= 1 else min(1.0, owed / (days - 1))

    def advanced(self, width: int, now: datetime, until: datetime) -> Round:
        """The round after `width` more places."""
        place = int(self.place, 16) + width
        completed = make_id(now) if place >= WHOLE else self.completed
        update = {"place": f"{place % WHOLE:016x}", "completed": completed, "until": make_id(until)}
        return self.model_copy(update=update)

    def told(self, now: datetime) -> ReadBack:
        """The progress for people and for monitoring."""
        completed = parse_id(self.completed).timestamp() if self.completed is not None else None
        behind = max(0.0, (now - parse_id(self.until)).total_seconds()) if self.until is not None else 0.0
        return ReadBack(int(self.place, 16) / WHOLE, completed, behind, self.damaged_files)

    @property
    def damaged_files(self) -> int:
        """The number of known damaged files; damage to whole snapshots counts as well."""
        return len({(one.number, one.path_base64) if one.path_base64 else one.key for one in self.damaged})

    def without(self, healed: Collection[Finding]) -> Round:
        """The round without these healed findings; a `Reading` decides about contents."""
        gone = {(one.kind, one.number, one.path or b"") for one in healed}
        left = [one for one in self.damaged if one.kind == CONTENT or one.key[:3] not in gone]
        return self.model_copy(update={"damaged": tuple(left)})

    def learned(self, report: Report, now: datetime, stored: Collection[str], *, full: bool) -> Round:
        """The round with a verification's unhealed findings, and without damage that it has checked and found right.

        `stored` are the existing snapshots; `full`: it has read all contents of those that it has verified. Known
        damage of contents stays: only a `Reading` forgets it.
        """
        seen = set() if report.denied else set(report.snapshots)
        hidden = {one for finding in report.findings if finding.kind in _HIDING for one in finding.snapshots}
        known = {one.key: one for one in self.damaged if one.kind == CONTENT}
        for one in self.damaged:
            unseen = set(stored) - seen
            if one.kind == CHECKSUMS and not full:
                unseen = set(stored)
            elif one.kind not in _HIDING:
                unseen |= hidden
            if one.kind != CONTENT and (left := one.only_in(unseen)) is not None:
                known[one.key] = left
        since = {one.key: one.since for one in self.damaged}
        for finding in report.findings:
            if finding.healed is not None:
                continue
            one = _remembered(finding, _OF_CONTENTS, since, now)
            before = known[one.key].snapshots if one.key in known else ()
            merged = tuple(dict.fromkeys((*one.snapshots, *before)))
            known[one.key] = one.model_copy(update={"snapshots": merged})
        return self.model_copy(update={"damaged": tuple(known.values())[:_MOST_DAMAGED]})


def load(path: Path) -> Round | None:
    """The state of the last night; None if it is damaged, or cannot be read."""
    with suppress(OSError, ValidationError):
        try:
            return Round.model_validate_json(files.read(path))
        except FileNotFoundError:
            return Round()
    return None


def save(state: Round, path: Path) -> None:
    """Replace the state, durably."""
    scratch = path.with_suffix(".new")
    filesystems.write(scratch, state.model_dump_json(indent=1).encode())
    scratch.replace(path)
    filesystems.sync(path.parent)


class Reading:
    """One night's reading. `state` is its progress; findings go into the report."""

    def __init__(self, history: History, state: Round, report: Report, progress: Progress) -> None:
        self.history, self.state, self.report, self.progress = history, state, report, progress
        self._contents = ContentCheck(Sums(), report, 1.0, 0, progress.advance)
        self._trees: dict[str, Tree | None] = {}
        self._denied: set[tuple[int, bytes]] = set()

    def run(self, now: datetime, days: int, is_late: Callable[[], bool], note: Callable[[Round], None]) -> None:
        """Read what is due or was damaged; stop early when it is late. `note` is called after every stretch."""
        share = self.state.due(now, days)
        width, done = int(share * WHOLE), 0
        again = {(one.number, one.path_base64) for one in self.state.damaged if one.kind == CONTENT}
        if not width and not again:
            self.state = self.state.model_copy(update={"damaged": self._damaged(now)})
            note(self.state)
        while done < width or again:
            start = int(self.state.place, 16)
            drawn = draw(self.history, start, width - done, _AT_ONCE, again)
            again, came = set(), 0
            for end, stretch in stretches(names(self.history, drawn, self.report), drawn.width):
                for content in stretch:
                    self._read(content)
                if width:
                    owed = timedelta(days=(share - (done + end) / WHOLE) * max(days - 1, 1))
                    self.state = self.state.advanced(end - came, now, now - owed)
                self.state = self.state.model_copy(update={"damaged": self._damaged(now)})
                came = end
                note(self.state)
                if end < drawn.width and is_late():
                    return
            done += drawn.width
            if is_late():
                return

    def look_again(self, now: datetime) -> None:
        """Read only what was damaged: the progress of the round does not change."""
        if self.state.damaged:
            self.run(now, 0, lambda: False, lambda _: None)

    def _damaged(self, now: datetime) -> tuple[Damaged, ...]:
        """The damage known now: of contents what was read, and of other kinds what is still in some snapshot."""
        since, known = {one.key: one.since for one in self.state.damaged}, dict[_Key, Damaged]()
        stored = {one.id for one in self.history.snapshots()}
        for finding in self.report.findings:
            one = _remembered(finding, _OF_FILES_READ, since, now)
            known[one.key] = one
        for one in self.state.damaged:
            if one.kind == CONTENT and (one.number, one.path_base64) in self._denied:
                known.setdefault(one.key, one)
            elif one.kind != CONTENT and (left := one.only_in(stored)) is not None:
                known.setdefault(one.key, left)
        return tuple(known.values())[:_MOST_DAMAGED]

    def _read(self, content: Content) -> None:
        snapshot, number, path, report = content.snapshot, content.number, content.path, self.report
        tree = self._tree(content)
        if tree is None:
            return
        self.progress.advance(1)
        try:
            full = tree.at(path)
            status = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            report.add(snapshot.id, MISSING, path, "the file is not there", number)
        except PermissionError:  # not damage: this user may not read it
            self._denied.add((number, path))
        except (OSError, DamageError) as error:
            said = error.message if isinstance(error, DamageError) else error.strerror
            report.add(snapshot.id, UNREADABLE, path, said or str(error), number)
        else:
            if (kind := kind_of(status.st_mode)) == b"f":
                denied = self._contents.denied
                self._contents.read(snapshot, full, number, path, status, content.md5)
                if self._contents.denied > denied:
                    self._denied.add((number, path))
            else:
                report.add(snapshot.id, TYPE, path, f"is a {kind_name(kind)}, was a file", number)

    def _tree(self, content: Content) -> Tree | None:
        snapshot = content.snapshot
        if snapshot.id not in self._trees:
            path = self.history.mounted(snapshot)
            self._trees[snapshot.id] = Tree(path) if path.is_dir() else None
            if not path.is_dir():
                self.report.add(snapshot.id, FOLDER, None, f"the folder {path} is missing")
        return self._trees[snapshot.id]


def stretches(contents: Iterator[Content], width: int) -> Iterator[tuple[int, list[Content]]]:
    """Contents by their offsets, in stretches, each with the offset at which it ends; the last one ends at `width`.

    A stretch is read in the order of the contents, that of the tree. Contents at one place are never separated.
    """
    placed = sorted(enumerate(contents), key=lambda pair: (pair[1].offset, pair[0]))
    stretch: list[tuple[int, Content]] = []
    size = 0
    for offset, group in groupby(placed, key=lambda pair: pair[1].offset):
        if offset > 0 and (len(stretch) >= _STRETCH or size >= _STRETCH_BYTES):
            yield offset, [content for _, content in sorted(stretch, key=lambda pair: pair[0])]
            stretch, size = [], 0
        for pair in group:
            stretch.append(pair)
            size += pair[1].size
    yield width, [content for _, content in sorted(stretch, key=lambda pair: pair[0])]
