"""What is fuzzed: each target takes any bytes, and returns or raises a SnapmirrorError. All else is a bug.

The corpus in `corpus/TARGET/` is what coverage-guided runs have found worth keeping, minimised; tests/unit replays it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import zstandard

from snapmirror.config import load as load_config
from snapmirror.errors import SnapmirrorError
from snapmirror.snapshots import checksums, entry, record
from snapmirror.snapshots.compare import compare
from snapmirror.snapshots.hardlink.differing import Differing
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.shortcuts import changes
from snapmirror.snapshots.lines import Line, as_lines
from snapmirror.snapshots.manifest import NOTHING, DamagedManifest, Header, Reader, taken_apart
from snapmirror.snapshots.manifest.pieces import gap_to, nothing
from snapmirror.snapshots.merge import OutOfOrder
from snapmirror.storage import image_lock, run_lock, sums, update
from snapmirror.storage.blocks import Shape
from snapmirror.tools import rsync_output
from tests.fuzz import seeds

CORPUS = Path(__file__).parent / "corpus"
HEADER = Header("2026-11-20T030000Z", 4)
BEFORE = "2026-11-19T030000Z"
_HELD = tempfile.TemporaryDirectory(prefix="fuzz.")  # until the process ends
_FOLDER = Path(_HELD.name)


def _file(name: str, data: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


def line(data: bytes) -> None:
    """One line of a listing or a manifest."""
    one = entry.parse(Line(data))
    assert entry.is_inside(one.path)
    assert one.mtime is not None and one.mode >= 0 and one.size >= 0


def listing(data: bytes) -> None:
    """A whole listing, planned: it names only what stays in the tree, and its manifest reads back."""
    with suppress(OutOfOrder):
        plan = compare(NOTHING, iter([as_lines(data.split(b"\n"))]), HEADER, marked=set())
        for _, new in plan.pairs():
            assert new is not None and entry.is_inside(entry.parse(new).path)
        for (_, new), target in plan.links:
            assert new is not None and entry.is_inside(entry.parse(new).path) and entry.is_inside(target)
        assert sum(1 for _ in Reader(plan.manifest).entries()) == plan.totals.entries


def sent(data: bytes) -> None:
    """A line of a transfer."""
    found = rsync_output.parse_sent(b"word|" + data, "word")
    if found is not None:
        entry.parse(Line(found.line))
    rsync_output.literal_bytes(data)
    rsync_output.complaints(data)


def manifest(data: bytes) -> None:
    """A manifest file, in pieces and as a stream."""
    with suppress(DamagedManifest):
        assert all(len(piece.lines) == piece.count for piece in Reader(data).pieces())
    for number, one in Reader(data).entries():
        assert number >= 0 and entry.is_inside(one.path)


def manifest_text(data: bytes) -> None:
    """A manifest, packed as it should be."""
    manifest(zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data))


def manifest_index(data: bytes) -> None:
    """A manifest whose beginning, packed as it should be, stands before good pieces."""
    good = seeds.manifest(in_pieces=True)
    packed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)
    manifest(packed + nothing(gap_to(len(packed), 0)) + good[Reader(good).body :])


def checksum_file(data: bytes) -> None:
    """A checksum file."""
    for _ in checksums.read(_file("sums.zst", data)):
        pass


def changes_text(data: bytes) -> None:
    """What a night has changed, packed as it should be: it names only what stays in the tree."""
    layout = HardlinkLayout(_FOLDER / "mirror")
    layout.make()
    layout.manifest(BEFORE).touch()
    layout.changes(HEADER.sequence).write_bytes(zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data))
    new = record.Snapshot(id=HEADER.id, sequence=HEADER.sequence, slot=1, files=0, entries=0, bytes=0, new_bytes=0)
    found = changes.between(layout, BEFORE, new) or Differing([], [])
    assert all(entry.is_inside(entry.inside(name)) for name in found.gone)
    assert all(entry.is_inside(taken_apart(line)[1].path) for line in found.new)


def record_file(data: bytes) -> None:
    """The record of a mirror."""
    read = record.load(_file("record.json", data))
    assert all(snapshot.taken_at for snapshot in read.snapshots)
    assert all(".." not in Path(name).parts for move in read.moves for name in (move.source, move.target))


def configuration(data: bytes) -> None:
    """A configuration file."""
    assert load_config(_file("snapmirror.toml", data)).mirrors


def included_file(data: bytes) -> None:
    """A file that a configuration with defaults includes."""
    (_FOLDER / "conf.d").mkdir(exist_ok=True)
    _file("conf.d/one.toml", data)
    main = _file("with-files.toml", b'include = ["conf.d/*.toml"]\nstore.path = "/s"\ndefaults.guard.at_least = 3\n')
    assert load_config(main).mirrors[0].guard


def redo_list(data: bytes) -> None:
    """The list of a copy's update: all that it names lies in the copy."""
    read = update.load(_file("copy.update.list", data).with_name("copy"))
    for patch in read.patches:
        start, length = read.shape.span(patch.run)
        assert 0 <= start < start + length <= read.shape.size
    assert read.data_bytes >= 0


def copy_sums(data: bytes) -> None:
    """The checksums beside a copy: believed or not, never an error."""
    copy = _file("copy", b"x" * 4096)
    _file("copy.sums", data)
    sums.load(copy, "id", Shape(4096, 4096))


def claim_file(data: bytes) -> None:
    """Who has an image: the file on the share, which anybody there can write."""
    with _file("image.lock", data).open("rb") as file:
        image_lock._owner_in(file.fileno())


def lock_owner(data: bytes) -> None:
    """Who holds the store, as the lock file says."""
    run_lock._describe(run_lock._owner_in(data.decode("utf-8", "replace")), "flock (pid 1)")
    run_lock._describe(run_lock._owner_in(data.decode("utf-8", "replace")), "")


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        line, listing, sent, manifest, manifest_text, manifest_index, checksum_file, changes_text, record_file,
        configuration, included_file, redo_list, copy_sums, claim_file, lock_owner,
    )
}  # fmt: skip


def attempt(name: str, data: bytes) -> None:
    """One input: good, or an error with a sentence."""
    try:
        TARGETS[name](data)
    except SnapmirrorError as error:
        assert error.message and error.exit_code != 1, repr(error)
