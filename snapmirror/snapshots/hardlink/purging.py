"""Purges names from every snapshot: nothing else ever changes sealed snapshots, and only an administrator requests it.

A journal lists the names to remove and the times of the folders around them; it is on the device before the first name
is removed, so the next run completes a purge that was begun. Each step may be done twice.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from msgspec import Struct, field

from snapmirror import files
from snapmirror.errors import StorageError
from snapmirror.snapshots import entry, packed
from snapmirror.snapshots.entry import Entry, escape, is_within, parent, unescape
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.shortcuts import drop_notes
from snapmirror.snapshots.lines import Line, Numbered, prefix_of, unnumbered, with_number
from snapmirror.snapshots.manifest import Reader, Totals, rewritten
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.record import Purge, Record, Snapshot
from snapmirror.snapshots.spool import Spool
from snapmirror.tools import filesystems


class HardlinkPurging:
    """Purging in the history with this record. See `history.SupportsPurging`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._layout = ledger, ledger.layout

    def purge(self, paths: Sequence[bytes], note: Purge) -> None:
        """Remove names, and everything below them, from all snapshots, using the journal."""
        self._layout.make()
        begin(self._layout, self._ledger.record, note, paths)
        self.finish()

    def finish(self) -> bool:
        """Complete a purge that was begun; False if there is none."""
        record = complete(self._layout, self._ledger.record)
        if record is None:
            return False
        self._ledger.record = record
        self._ledger.save()
        forget_journal(self._layout)
        return True


class Held(Struct):
    """What one snapshot holds of the names to purge; `others` are further names of the same files, which stay."""

    snapshot: Snapshot
    entries: list[Entry] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)


def is_one(path: bytes, purged: Sequence[bytes]) -> bool:
    """Whether a path is one of the purged ones, or lies below one."""
    return any(is_within(path, one) for one in purged)


def held(manifest: Path, snapshot: Snapshot, paths: Sequence[bytes]) -> Held:
    """What a snapshot holds of these names, and below them. Raises DamagedManifest."""
    found = Held(snapshot)
    groups: dict[bytes, list[bytes]] = {}
    for one in _entries(manifest):
        if one.leader is not None:
            groups.setdefault(one.leader, [one.leader]).append(one.path)
        if is_one(one.path, paths):
            found.entries.append(one)
    for group in groups.values():
        if any(is_one(path, paths) for path in group):
            found.others += [path for path in group if not is_one(path, paths)]
    return found


def _entries(manifest: Path) -> Iterator[Entry]:
    with closing(Reader(manifest)) as reader:
        for line in reader:
            yield entry.parse(unnumbered(line))


def begin(layout: HardlinkLayout, record: Record, note: Purge, paths: Sequence[bytes]) -> None:
    """Write the journal of names to remove. From here on `complete` will do it, in this run or in the next."""
    folders = []
    for root in _trees(layout, record):
        tree = Tree(root)
        for folder in dict.fromkeys(map(parent, paths)):
            if (is_ := tree.attributes(folder)) is not None:
                where = os.path.relpath(entry.join(os.fsencode(root), folder), os.fsencode(layout.root))
                folders.append((_text(where), is_.mode, is_.atime_ns, is_.mtime_ns))
    journal = {"paths": list(map(_text, paths)), "folders": folders, "note": note.model_dump()}
    scratch = layout.scratch / "purge.journal"
    filesystems.write(scratch, json.dumps(journal).encode("ascii"))
    scratch.replace(layout.purging)
    filesystems.sync(layout.private)


def complete(layout: HardlinkLayout, record: Record) -> Record | None:
    """Do the steps of the journal, and return the record to be saved; None if there is no journal.

    Raises StorageError for a damaged journal, and DamagedManifest.
    """
    try:
        journal = json.loads(files.read(layout.purging))
        paths = [base64.b64decode(one) for one in journal["paths"]]
        folders = [(base64.b64decode(one[0]), int(one[1]), int(one[2]), int(one[3])) for one in journal["folders"]]
        note = Purge.model_validate(journal["note"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise StorageError(
            f"the journal {layout.purging} is damaged: {str(error).splitlines()[0]}",
            hint="remove it, and purge once more: a purge may be repeated",
        ) from error
    remove_tree(layout.staging)  # parts of purged files may be there, under any name
    layout.make()
    snapshots = []
    for snapshot in record.snapshots:
        totals = _without(layout.manifest(snapshot.id), paths)
        new = min(snapshot.new_bytes, totals.size)  # (a repetition does not know how much of the removed was new)
        update = {"files": totals.files, "entries": totals.entries, "bytes": totals.size, "new_bytes": new}
        snapshots.append(snapshot.model_copy(update=update))
    if record.parked is not None and layout.manifest(record.parked).exists():
        _without(layout.manifest(record.parked), paths)
    for file in (layout.private / "sums").glob("*.zst"):
        _without_checksums(file, paths)
    drop_notes(layout)  # they hold names, and may be missing without harm
    for root in _trees(layout, record):
        tree = Tree(root)
        for path in paths:
            tree.unlink(path)
    whole = Tree(layout.root)
    for folder, mode, atime, mtime in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            full = whole.at(folder)
            if whole.is_folder(folder) and stat.S_IMODE(os.lstat(full).st_mode) != mode:
                os.chmod(full, mode)
            os.utime(full, ns=(atime, mtime), follow_symlinks=False)
    filesystems.flush(layout.root)
    purged = record.purged if note in record.purged else [*record.purged, note]
    return record.model_copy(update={"snapshots": snapshots, "slot_equals": None, "purged": purged})


def forget_journal(layout: HardlinkLayout) -> None:
    """Remove the journal: the purge is in the record."""
    layout.purging.unlink()
    filesystems.sync(layout.private)


def _trees(layout: HardlinkLayout, record: Record) -> list[Path]:
    found = [*(layout.backup(one.slot) for one in record.snapshots), layout.slot, layout.parked]
    return [root for root in found if root.is_dir()]


def _without(manifest: Path, paths: Sequence[bytes]) -> Totals:
    """Rewrite a manifest without these names; return its new totals."""
    with files.reading(manifest) as file:
        data = file.read()
    reader = Reader(data)
    corrections: dict[Line, Numbered | None] = {}
    plain: dict[bytes, Entry] = {}
    links: list[tuple[Numbered, Entry]] = []
    for line in reader:
        one = entry.parse(unnumbered(line))
        if one.leader is not None:
            links.append((line, one))
        if is_one(one.path, paths):
            corrections[one.line] = None
            plain[one.path] = one
    leads: dict[bytes, bytes] = {}
    for line, one in links:  # if the leader of a group is removed, the next name leads
        if one.leader in plain and one.line not in corrections:
            first = plain[one.leader]
            if one.leader not in leads:
                leads[one.leader] = one.path
                pointer = b" -> " + escape(first.target) if first.target is not None else b""
                new = entry.plain_line(one.attributes, one.path, pointer)
            else:
                new = entry.linked_line(one.attributes, one.path, leads[one.leader])
            corrections[one.line] = with_number(prefix_of(line), new)
    if corrections:
        data = rewritten(data, reader.header, corrections=corrections)
        fresh = manifest.with_suffix(".new")
        filesystems.write(fresh, data)
        fresh.replace(manifest)
        filesystems.sync(manifest.parent)
    return Reader(data).totals


def _without_checksums(file: Path, paths: Sequence[bytes]) -> None:
    lines = list(packed.read(file, "checksum file"))
    stay = [pair for pair in lines if not is_one(unescape(pair[1]), paths)]
    if len(stay) < len(lines):
        fresh = file.with_suffix(".new")
        filesystems.write(fresh, packed.pack(Spool(stay)))
        fresh.replace(file)
        filesystems.sync(file.parent)


def _text(path: bytes) -> str:
    return base64.b64encode(path).decode("ascii")
