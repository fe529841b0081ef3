"""Manifests as nights store them, made otherwise for tests."""

from __future__ import annotations

from pathlib import Path

from snapmirror.snapshots.manifest import Reader, Writer


def in_pieces(path: Path) -> None:
    """Store a manifest again as that of a big tree; the nights that follow keep to it."""
    reader = Reader(path)
    writer = Writer(reader.header, in_pieces=True)
    writer.totals.files, writer.totals.size = reader.totals.files, reader.totals.size
    for line in reader:
        writer.add(line)
    path.write_bytes(writer.finish())
