"""Healing a mirror's damaged files, from the source if no snapshot has a good copy.

The source is queried twice: first for what it would send, then only for the files that still have the size and time of
the damaged ones. They are fetched into a scratch folder of the store and used only if their MD5 is the recorded one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from snapmirror.config import MirrorConfig
from snapmirror.errors import Interrupted, SnapmirrorError, StorageError, TransferError, UsageError
from snapmirror.history.verify import rules_of
from snapmirror.model import NOTICE, Progress, count
from snapmirror.snapshots import checksums, times
from snapmirror.snapshots.entry import path_of
from snapmirror.snapshots.heal import Case, Healer
from snapmirror.snapshots.history import History, SupportsHealing
from snapmirror.snapshots.lines import Line, is_file
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.verify import Report
from snapmirror.sources import limits
from snapmirror.sources.open import open_source
from snapmirror.sources.protocol import Into, Source

log = logging.getLogger("snapmirror.heal")


def ready(history: History) -> None:
    """Finish the healing of a run that died in it; to be called before the snapshots are read.

    Raises SnapmirrorError.
    """
    if history.healing is None:
        raise UsageError(
            "snapshots of ZFS cannot be written, so --heal can do nothing there",
            hint="'zpool scrub' heals from the redundancy of the pool; without any, restore the file from the source",
        )
    if history.snapshots():
        history.healing.ready()


def heal(
    mirror: MirrorConfig,
    history: History,
    report: Report,
    progress: Progress,
    check_room: Callable[[int, int], None] | None = None,
) -> None:
    """Heal what a verification has found; its findings record afterwards what was healed, and what was not.

    `check_room` raises SnapmirrorError if there is no room for so many bytes and files from the source. The caller
    holds the lock, and the store open for writing. Raises SnapmirrorError.
    """
    if not report.findings or history.healing is None:
        return
    healer = Healer(history, history.healing, report, rules_of(mirror, history, history.snapshots()))
    progress.begin(f"healing {mirror.name}")
    try:
        healer.look()
        lacking = healer.lacking()
        with _scratch(history.healing) as folder:
            fetched, why_not = _fetched(mirror, folder, lacking, check_room) if lacking else ({}, "")
            healer.mend(fetched, why_not, str(mirror.source), progress.advance)
    finally:
        progress.end()
    healed = sum(finding.healed is not None for finding in report.findings)
    log.log(NOTICE, "%s: %d of %s healed", mirror.name, healed, count(len(report.findings), "finding"))


@contextmanager
def _scratch(healing: SupportsHealing) -> Iterator[Path]:
    """A folder on the store; after a crash the next run removes it, with everything in that place."""
    folder = healing.scratch / "heal"
    try:
        for path in (folder, folder / "files", folder / "tmp", folder / "partial"):
            path.mkdir()
        yield folder
    except OSError as error:
        raise StorageError(f"the store failed while healing: {error.strerror}") from error
    finally:
        remove_tree(folder)


def _fetched(
    mirror: MirrorConfig, folder: Path, lacking: Sequence[Case], check_room: Callable[[int, int], None] | None
) -> tuple[dict[bytes, bytes], str]:
    """Files of the source with the right checksum, and a sentence about the others."""
    wanted = {case.entry.path: case for case in lacking}
    try:
        source = open_source(mirror)
        source.check()
        with source.connected():
            offered = {
                path
                for path, mark in _asked(source, folder, list(wanted), most=None)
                if _has_mark(wanted.get(path), mark)
            }
            if offered:
                if check_room is not None:
                    check_room(sum(wanted[path].entry.size for path in offered), len(offered))
                largest = max(wanted[path].entry.size for path in offered)
                list(_asked(source, folder, sorted(offered), most=largest))
    except Interrupted:
        raise
    except SnapmirrorError as error:
        return {}, f"no snapshot has a good copy, and the source could not be reached: {error.message}"
    tree, found = Tree(folder / "files"), dict[bytes, bytes]()
    for path in offered:
        checksum = wanted[path].checksum
        if checksum is not None and tree.is_file(path) and checksums.of_file(tree.at(path)) == checksum:
            found[checksum] = tree.at(path)
    return found, "no snapshot has a good copy, and the source has a different file now, or none"


def _has_mark(case: Case | None, mark: tuple[bytes, bytes]) -> bool:
    """Whether a file that the source offers has the size and the time that it must have."""
    if case is None or mark[0] != b"%d" % case.entry.size:
        return False
    return mark[1] == case.entry.time_text or times.fits(mark[1], case.entry.mtime)


def _asked(
    source: Source, folder: Path, paths: Sequence[bytes], *, most: int | None
) -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
    """Name, size and time of the files that are sent, at most `most` bytes each; would be sent, if `most` is None."""
    doing = "asking {} for good copies"
    scratch = folder / "tmp"
    into = Into(folder / "files", folder / "names", scratch=scratch, partial=folder / "partial")

    def look() -> None:
        """About every second: an endless file would fill the store."""
        if most is not None and any(size > most for size in limits.arriving(scratch)):
            raise TransferError(f"{doing.format(source)}: it sends more than it has offered")

    with source.fetch(paths, into, doing=doing, tick=look, dry_run=most is None) as fetch:
        for sent in fetch.arrived:
            if is_file(line := Line(sent.line)):
                fields = line.split(b"|", 6)
                yield path_of(line), (fields[4], fields[5])
