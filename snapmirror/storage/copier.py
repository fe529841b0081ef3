"""Copies the image to the disk: a first copy, an update, or the continuation of one. Runs no program.

`copy` describes the files on the disk meanwhile, and their reasons.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from snapmirror import files
from snapmirror.errors import StorageError
from snapmirror.model import NOTICE, Progress, size
from snapmirror.storage import blocks, former, image, sums, update
from snapmirror.storage.blocks import Reader, Run, Shape
from snapmirror.storage.destination import Target
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.locks import Rank

log = logging.getLogger("snapmirror.copy")

_RESERVE_BYTES = 16 << 20  # that must stay free: for tables, checksums and the file system itself
Result = Literal["made", "updated", "unchanged", "planned"]


class CopyReport(Struct):
    """The result of a copying. Sizes are bytes; `changed` is what differed, `written` all writes (the journal, the
    copy, and blocks kept of the generation before). `former` generations exist now, and take `former_bytes`.
    """

    copy: str
    result: Result = "unchanged"
    full: bool = False
    resumed: bool = False
    changed_bytes: int = 0
    cleared_bytes: int = 0
    read_bytes: int = 0
    compared_bytes: int = 0
    written_bytes: int = 0
    verified_bytes: int = 0
    repaired_bytes: int = 0
    allocated_bytes: int = 0
    former: int = 0
    former_bytes: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


class Copier:
    """One run of copying. The caller holds the closed image, and has mounted the destination."""

    def __init__(
        self, source: Path, record: ImageRecord, target: Target, progress: Progress, report: CopyReport, keep: int
    ) -> None:
        self.source, self.record, self.target = source.resolve(), record, target
        self.copy = target.copy
        self.incomplete = self.copy.with_name(f"{self.copy.name}.incomplete")
        self.shape = blocks.shape_of(record.size)
        self.progress, self.report = progress, report
        self.keep = keep  # generations, including the copy
        self._known: bytearray | None = None  # what the copy should hold, if it was not changed since

    def run(self, full: bool, days: int, *, dry_run: bool) -> None:
        """Do everything, from whatever state the last run left."""
        image.flush(self.source)  # until then a server may not report the last writes as allocated
        known = image.record_file(self.copy).exists()
        if known:
            self._check_record()
        elif self.copy.exists() or self.incomplete.exists():
            raise StorageError(
                f"{self.report.copy} was not made by snapmirror: {self.copy.name}.json is missing beside it",
                hint="move it away, or name another folder; snapmirror leaves it alone",
            )
        if dry_run:
            self._compare_only(full, days)
            return
        if not known:
            self._check_room(self._data_bytes())
            record = self.record.model_dump_json(indent=2) + "\n"
            update.write_file(image.record_file(self.copy), record.encode())
        with image.held(self.copy, rank=Rank.COPY):  # another program may have opened the copy itself
            if update.is_there(self.copy):
                self._replay()
            if self.copy.exists():
                self.incomplete.unlink(missing_ok=True)
                self._update(full, days)
            else:
                self._make()

    def _check_record(self) -> None:
        there = image.read_record(self.copy)
        if there.id != self.record.id:
            raise StorageError(
                f"{self.report.copy} is a copy of another image, made at {there.created}",
                hint="move it away if that history is not needed any more, or name another folder",
            )
        if image.is_attached(self.copy):
            raise StorageError(f"{self.report.copy} is attached to a loop device", hint="umount and detach it first")

    # -- a first copy ----------------------------------------------------------------------------------------------

    def _make(self) -> None:
        self.report.result, self.report.full = "made", True
        have = self.shape.empty_table()
        if self.incomplete.exists():
            self.report.resumed = True
            log.info("going on with the incomplete copy")
            with self._stage("reading what is there", self.incomplete) as reader:
                have = reader.table(self._advance)
            self.report.compared_bytes += reader.read_bytes
        else:
            self._check_room(self._data_bytes())
            self._create()
        want = self._fill(have)
        self._note_size(want)
        with self._stage("reading the copy back", self.incomplete) as reader:
            if reader.table(self._advance) != want:
                raise update.unreadable(self.incomplete)
        self.report.verified_bytes += reader.read_bytes
        self._finish(self.incomplete, want, checked=time.time())
        self._tidy(want)

    def _create(self) -> None:
        image.create(self.incomplete, self.record)
        if self.incomplete.stat().st_blocks * 512 > self.record.size // 2 and not image.on_share(self.copy):
            self.incomplete.unlink()
            raise StorageError(
                f"the file system of {self.copy.parent} has no sparse files: a copy would take its full size",
                hint="format the disk with NTFS, XFS or ext4",
            )

    def _fill(self, have: bytearray) -> bytearray:
        """Write the differences into the incomplete copy; returns the checksums of the image."""
        want = self.shape.empty_table()
        descriptor = files.own(self.incomplete)
        try:
            os.ftruncate(descriptor, self.record.size)
            with self._stage("copying the image", self.source) as reader:
                for start, data in reader.chunks():
                    found, first = reader.sums(data), start // self.shape.block
                    blocks.put(want, first, found)
                    stretch = slice(first * blocks.SUM_BYTES, first * blocks.SUM_BYTES + len(found))
                    part = Shape(len(data), self.shape.block)
                    for run in blocks.differences(have[stretch], found, part):
                        self._write(descriptor, data, start, run, part)
                    have[stretch] = found
                    self._advance(len(data))
            for run in blocks.differences(have, want, self.shape):  # ranges for which the image has no data
                self._clear(descriptor, *self.shape.span(run))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.report.read_bytes += reader.read_bytes
        return want

    def _write(self, descriptor: int, data: memoryview, base: int, run: Run, part: Shape) -> None:
        start, length = part.span(run)
        if run.hole:
            self._clear(descriptor, base + start, length)
            return
        files.write_all(descriptor, data[start : start + length], base + start)
        self.report.changed_bytes += length
        self.report.written_bytes += length

    def _clear(self, descriptor: int, start: int, length: int) -> None:
        update.clear(descriptor, start, length)
        self.report.cleared_bytes += length

    # -- an existing copy -----------------------------------------------------------------------------------------

    def _update(self, full: bool, days: int) -> None:
        update.discard(self.copy)  # one that never became complete
        descriptor = files.own(self.copy)
        try:  # it may have been cut; the code below sees no difference in a hole at its end
            if os.fstat(descriptor).st_size != self.record.size:
                os.ftruncate(descriptor, self.record.size)
        finally:
            os.close(descriptor)
        have, checked, want = self._both_tables(full, days)
        self._note_size(want)
        runs = blocks.differences(have, want, self.shape)
        self._count(runs)
        former.tidy(self.copy, have, self.keep - 1)
        if runs:
            self.report.result = "updated"
            self._keep_former(have, want, self._needed(runs, have))
            self._write_update(runs, want)
            self._apply(update.load(self.copy))
        target = self.incomplete if runs else self.copy
        if runs or self.report.full:
            self._finish(target, want, checked=checked)
        self._tidy(want)

    def _keep_former(self, have: bytearray, want: bytearray, needed: int) -> None:
        """Keep the present generation of the copy, if there is room; `needed` is the space for the update itself."""
        if self.keep == 1:
            self._check_room(needed)
            return
        made = former.target(have, want, self._known)
        runs = blocks.differences(want, made, self.shape)
        kept = sum(self.shape.span(run)[1] for run in runs if not run.hole)
        while not self._has_room(needed + kept) and former.drop_oldest(self.copy):
            log.info("removed an older generation of %s to make room", self.report.copy)
        if not self._has_room(needed + kept):
            self._check_room(needed)
            what = f"{size(kept)} of what the update replaces in {self.report.copy}"
            self.report.warnings.append(f"the disk has no room for {what}: no former generation is kept")
            return
        with self._stage("keeping what is replaced", self.copy, kept * 2) as reader:
            done = former.write(self.copy, reader, self.record.id, self.shape, runs, want, made, self._advance)
        if not done:
            self.report.warnings.append(f"{self.report.copy} had changed by itself: that disk loses data")
            return
        self.report.written_bytes += kept
        self.report.verified_bytes += kept

    def _tidy(self, table: bytearray) -> None:
        self.report.former = len(former.tidy(self.copy, table, self.keep - 1))
        self.report.former_bytes = former.taken_bytes(self.copy)

    def _both_tables(self, full: bool, days: int) -> tuple[bytearray, float, bytearray]:
        """The checksums of the copy, the time at which all of them were checked, and the checksums of the image."""
        have, checked = self._table_of_copy(full, days)
        with self._stage("comparing the image", self.source) as reader:
            want = reader.table(self._advance)
        self.report.read_bytes += reader.read_bytes
        return have, checked, want

    def _table_of_copy(self, full: bool, days: int) -> tuple[bytearray, float]:
        known = sums.load(self.copy, self.record.id, self.shape)
        self._known = known.table if known is not None else None
        if known is not None and not full and 0 <= time.time() - known.checked < days * 86_400:
            return known.table, known.checked
        self.report.full = True
        if image.on_share(self.copy) and not image.is_sparse(self.copy):
            log.info("%s is not marked as sparse on the server: all of it is read", self.report.copy)
        with self._stage("reading the copy", self.copy) as reader:
            table = reader.table(self._advance)
        self.report.compared_bytes += reader.read_bytes
        if known is not None and known.table != table:
            runs = blocks.differences(known.table, table, self.shape)
            self.report.repaired_bytes = sum(self.shape.span(run)[1] for run in runs)
            self.report.warnings.append(
                f"{size(self.report.repaired_bytes)} of {self.report.copy} had changed by themselves since they were "
                "written: that disk loses data"
            )
        return table, time.time()

    def _note_size(self, want: bytearray) -> None:
        """Note the size of the copy, by its blocks: an SMB client may report a new file as fully allocated."""
        runs = blocks.differences(self.shape.empty_table(), want, self.shape)
        self.report.allocated_bytes = sum(self.shape.span(run)[1] for run in runs)

    def _count(self, runs: list[Run]) -> None:
        for run in runs:
            length = self.shape.span(run)[1]
            if run.hole:
                self.report.cleared_bytes += length
            else:
                self.report.changed_bytes += length

    def _needed(self, runs: list[Run], have: bytearray) -> int:
        """The space for the journal, and for blocks that were holes."""
        new = 0
        for run in runs:
            part = have[run.block * blocks.SUM_BYTES : (run.block + run.count) * blocks.SUM_BYTES]
            new += sum(part[at : at + blocks.SUM_BYTES] == blocks.NONE for at in range(0, len(part), blocks.SUM_BYTES))
        return self.report.changed_bytes + new * self.shape.block

    def _write_update(self, runs: list[Run], want: bytearray) -> None:
        try:
            with self._stage("writing what differs", self.source, self.report.changed_bytes * 2) as reader:
                update.write(self.copy, reader, self.record.id, self.shape, runs, want, self._advance)
        except BaseException:
            if not update.is_there(self.copy):
                update.discard(self.copy)
            raise
        self.report.read_bytes += reader.read_bytes
        self.report.written_bytes += self.report.changed_bytes
        self.report.verified_bytes += self.report.changed_bytes

    def _replay(self) -> None:
        """Apply the update again: the last run ended while it applied it."""
        waiting = update.load(self.copy)
        if (waiting.image_id, waiting.shape) != (self.record.id, self.shape):
            raise StorageError(
                f"{update.list_file(self.copy)} belongs to another image", hint="move all of it away, and copy again"
            )
        log.log(NOTICE, "the last copying was interrupted; finishing it first")
        self.report.resumed = True
        update.check(self.copy, waiting, lambda _length: None)
        self._apply(waiting)
        self._settle()

    def _apply(self, waiting: update.Update) -> None:
        if self.copy.exists():
            self.copy.replace(self.incomplete)
            update.settle(self.incomplete)
        self.progress.begin("updating the copy", size=waiting.data_bytes * 2)
        try:
            update.apply(self.copy, self.incomplete, waiting, self._advance)
        finally:
            self.progress.end()
        self.report.written_bytes += waiting.data_bytes
        self.report.verified_bytes += waiting.data_bytes

    def _settle(self) -> None:
        """The incomplete copy is complete: give it its name, then remove what it was made from."""
        if self.incomplete.exists():
            self.incomplete.replace(self.copy)
            update.settle(self.copy)
        update.discard(self.copy)

    def _finish(self, target: Path, table: bytearray, *, checked: float) -> None:
        sums.save(self.copy, target, sums.Sums(table, checked), self.record.id, self.shape)
        self._settle()

    # -- small things ----------------------------------------------------------------------------------------------

    def _compare_only(self, full: bool, days: int) -> None:
        if update.is_there(self.copy):
            self.report.resumed = True
            self.report.warnings.append("the last copying was interrupted; it would be finished first")
        if not self.copy.exists():
            self.report.resumed |= self.incomplete.exists()
            self.report.changed_bytes = self._data_bytes()
        else:
            have, _, want = self._both_tables(full, days)
            self._count(blocks.differences(have, want, self.shape))
        self.report.result = "planned"

    def _check_room(self, needed: int) -> None:
        if not self._has_room(needed):
            raise StorageError(
                f"{self.report.copy} needs {size(needed + _RESERVE_BYTES)}, the disk has {size(self._free())} left",
                hint="make room there; nothing was changed",
            )

    def _has_room(self, needed: int) -> bool:
        return needed + _RESERVE_BYTES <= self._free()

    def _free(self) -> int:
        status = os.statvfs(self.copy.parent)
        return status.f_bavail * status.f_frsize

    @contextmanager
    def _stage(self, what: str, file: Path, total: int | None = None) -> Iterator[Reader]:
        """Read a file and show the progress."""
        with blocks.uncached(file, self.shape) as reader:
            self.progress.begin(what, size=total or reader.data_bytes())
            try:
                yield reader
            finally:
                self.progress.end()

    def _data_bytes(self) -> int:
        with blocks.uncached(self.source, self.shape) as reader:
            return reader.data_bytes()

    def _advance(self, length: int) -> None:
        self.progress.advance(0, length)
