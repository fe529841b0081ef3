"""Verifies snapshots: each tree against its manifest, and contents against the checksums taken at sealing.

`tree` compares names, types, attributes and links; `content` reads files. Nothing is mended and nothing is written. The
caller holds the lock: otherwise recycling could change a tree meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from snapmirror.model import Progress, count
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import prefix_of, since_prefix
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify.attributes import Rules
from snapmirror.snapshots.verify.content import ContentCheck, Sums, checksums_wrong
from snapmirror.snapshots.verify.findings import FOLDER, OF_THE_INODE, Finding, Report
from snapmirror.snapshots.verify.tree import Listed, TreeCheck


class Depth(Struct, frozen=True):
    """How much to verify: `share` of the contents is read (0: none, quick; 1: full), drawn by `seed`."""

    share: float = 0.0
    seed: int = 0


def verify(
    mirror: str, history: History, chosen: Sequence[Snapshot], depth: Depth, rules: Rules, progress: Progress
) -> Report:
    """Verify snapshots of one mirror; damage becomes findings, never an error."""
    report = Report(mirror)
    ordered = sorted(chosen, key=lambda snapshot: snapshot.sequence, reverse=True)
    contents = None
    if depth.share > 0 and history.snapshots():
        sums = Sums()
        sums.load(history, history.snapshots()[0].sequence)
        contents = ContentCheck(sums, report, depth.share, depth.seed, progress.advance)
    size = round(_content_bytes(ordered) * depth.share) if contents else None
    progress.begin(f"verifying {mirror}", names=sum(snapshot.entries for snapshot in ordered), size=size)
    denied = 0
    try:
        for snapshot in ordered:
            report.snapshots.append(snapshot.id)
            denied += _one(history, snapshot, rules, contents, report, progress)
    finally:
        progress.end()
    spread(history, report)
    report.denied = denied
    _say_unchecked(report, contents, denied)
    return report


def _one(
    history: History,
    snapshot: Snapshot,
    rules: Rules,
    contents: ContentCheck | None,
    report: Report,
    progress: Progress,
) -> int:
    """Verify one snapshot; returns the number of names that this user may not read."""
    tree = history.tree(snapshot)
    if not tree.is_dir():
        report.add(snapshot.id, FOLDER, None, f"the folder {tree} is missing")
        return 0
    if not _leads_to(history.dated(snapshot), tree):
        report.add(snapshot.id, FOLDER, None, f"the dated name {history.dated(snapshot)} does not lead to {tree}")
    root = os.fsencode(tree)

    def visit(listed: Listed, status: os.stat_result) -> None:
        if contents is not None and listed.entry.kind == b"f":
            contents.look_at(snapshot, root, listed, status)

    check = TreeCheck(snapshot, tree, history.manifest(snapshot), rules, report)
    check.run(visit, lambda names: progress.advance(names, 0))
    return check.denied


def _leads_to(name: Path, tree: Path) -> bool:
    with suppress(OSError):  # by the text of the link: on a store that is written to no link is followed
        return name.resolve(strict=True) == tree.resolve(strict=True)
    return False


def _content_bytes(ordered: Sequence[Snapshot]) -> int:
    """About the number of bytes to read: all of the newest, and of each older one what its successor has replaced."""
    return sum(snapshot.new_bytes for snapshot in ordered[:-1]) + max((one.bytes for one in ordered), default=0)


def spread(history: History, report: Report) -> None:
    """Add unverified snapshots that share a damaged inode: their manifests hold the same line and number."""
    wanted: dict[tuple[int, bytes], list[Finding]] = {}
    for finding in report.findings:
        if finding.kind in OF_THE_INODE and finding.path is not None and finding.number:
            wanted.setdefault((finding.number, finding.path), []).append(finding)
    numbers = {since_prefix(number) for number, _ in wanted}
    others = [snapshot for snapshot in history.snapshots() if snapshot.id not in report.snapshots]
    for snapshot in others if wanted else ():
        with suppress(DamagedManifest):
            reader = Reader(history.manifest(snapshot))
            for line in reader:
                if prefix_of(line) in numbers:
                    number, entry = reader.taken_apart(line)
                    for finding in () if entry.is_directory else wanted.get((number, entry.path), ()):
                        if snapshot.id not in finding.snapshots:
                            finding.snapshots.append(snapshot.id)
    for finding in report.findings:
        finding.snapshots.sort(reverse=True)


def _say_unchecked(report: Report, contents: ContentCheck | None, denied: int) -> None:
    if denied:
        report.unchecked.append(f"{count(denied, 'name')} could not be looked at by this user; run it as root")
    if contents is not None and contents.denied:
        report.unchecked.append(f"{count(contents.denied, 'file')} could not be read by this user; run it as root")
    if contents is not None and contents.without_checksum:
        report.unchecked.append(f"without a checksum, content not checked: {count(contents.without_checksum, 'file')}")


__all__ = ["Depth", "Finding", "Report", "Rules", "checksums_wrong", "spread", "verify"]
