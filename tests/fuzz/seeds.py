"""Good inputs to start from, as snapmirror itself writes them."""

from __future__ import annotations

import hashlib
import json

import zstandard

from snapmirror.config.sample import sample
from snapmirror.snapshots import packed, record
from snapmirror.snapshots.lines import Line, since_prefix, with_number
from snapmirror.snapshots.manifest import Header, Writer
from snapmirror.snapshots.spool import Spool

LINES = [
    b"cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00|//./",
    b">f+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00|//a",
    b"cL+++++++++|rwxrwxrwx|0|0|7|2026/11/20-03:00:00| -> usr/bin//bin",
    b"cD+++++++++|rw-rw-rw-|0|0|0|2026/11/20-03:00:00|//null",
    b"cd+++++++++|rwxr-xr-t|33|33|4096|2026/11/20-03:00:00|//etc/",
    b">f+++++++++|rwsr-sr-x|0|0|12|2026/11/20-03:00:00|//etc/n\\#012l",
    b"hf+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00| => a//etc/x",
]
_SMALL = b'[store]\npath = "/s"\n[[mirror]]\nname = "w"\nsource = "/d"\n'


def manifest(*, in_pieces: bool = False) -> bytes:
    """A small one, with all kinds of entries."""
    writer = Writer(Header("2026-11-20T030000Z", 3), in_pieces=in_pieces)
    for number, line in enumerate(LINES):
        writer.add(with_number(since_prefix(number % 3 + 1), Line(line)))
    return writer.finish()


def unpacked(data: bytes) -> bytes:
    """The text of a manifest, all frames of it."""
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


def _changes() -> bytes:
    new = [b"+%07d %s" % (number, line) for number, line in enumerate(LINES, start=1)]
    return b"\n".join([b"changes.1 2026-11-19T030000Z 2026-11-20T030000Z", b"- a", b"- etc/", b"- n\\#012l", *new, b""])


def _redo() -> bytes:
    runs = "0 1 hole\n1 2 " + "ab" * 16
    head = {"format": "snapmirror copy update", "version": 1, "image": "id", "size": 16384, "block": 4096, "runs": 2}
    return f"{json.dumps(head)}\n{runs}\n".encode()


def _sums() -> bytes:
    head = {
        "format": "snapmirror copy sums", "version": 1, "image": "id", "size": 4096, "block": 4096, "modified": 1.0,
        "checked": 1.0, "sha256": hashlib.sha256(b"").hexdigest(),
    }  # fmt: skip
    return zstandard.ZstdCompressor(level=1).compress(json.dumps(head).encode() + b"\n")


def seeds(target: str) -> list[bytes]:
    """What a target starts from."""
    text, in_pieces = (unpacked(manifest(in_pieces=cut)) for cut in (False, True))
    snapshot = record.Snapshot(id="2026-11-20T030000Z", sequence=2, slot=1, files=1, entries=2, bytes=3, new_bytes=3)
    move = record.Move(inode=1, source="backup.1", target="backup.2")
    owner = json.dumps({"pid": 1, "since": 1.5, "host": "h", "machine": "m", "boot": "b", "run": "r"}).encode()
    return {
        "line": LINES,
        "listing": [b"\n".join(LINES)],
        "sent": [b"0" * 32 + b"|" + line for line in LINES] + [b"Literal data: 12 bytes", b"rsync: [sender] no (13)"],
        "manifest": [manifest(), manifest(in_pieces=True)],
        "manifest_text": [text],
        "manifest_index": [in_pieces[: in_pieces.index(LINES[0])]],
        "checksum_file": [packed.pack(Spool([(b"0" * 32, b"etc/n\\#012l"), (b"1" * 32, b"a")]))],
        "changes_text": [_changes()],
        "record_file": [record.Record(sequence=2, snapshots=[snapshot], moves=[move]).model_dump_json().encode()],
        "configuration": [_SMALL, _SMALL + b"[defaults.retention]\nkeep_last = 3\n", sample().encode()],
        "included_file": [
            b'[[mirror]]\nname = "a"\nsource = "/a"\n[[mirror]]\nname = "b"\nsource = "/b"\n[mirror.guard]\n'
        ],
        "redo_list": [_redo()],
        "copy_sums": [_sums()],
        "claim_file": [owner],
        "lock_owner": [owner],
    }[target]
