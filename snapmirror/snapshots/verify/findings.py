"""The findings of a verification, merged over snapshots: a damaged inode is one finding in all that share it."""

from __future__ import annotations

from msgspec import Struct, field

MISSING, EXTRA, TYPE, LINKS, UNREADABLE = "missing", "extra", "type", "links", "unreadable"
CONTENT, SIZE, TIME, MODE, OWNER, TARGET = "content", "size", "time", "mode", "owner", "target"
MANIFEST, CHECKSUMS, FOLDER = "manifest", "checksums", "folder"
OF_THE_INODE = frozenset({CONTENT, SIZE, TIME, MODE, OWNER, TARGET, UNREADABLE})
"""Kinds that concern every snapshot with the same inode, verified or not."""
_MOST = 10_000


def without_checksums(number: int) -> str:
    """The text for a missing checksum file."""
    return f"the checksums of the files that are new in number {number} are missing"


class Finding(Struct):
    """One difference from the sealed state. `below` counts further names that are concerned because they lie below it.

    `number` stands before the name in the manifest: the snapshot since which the name has its inode. `healed` is the
    origin of the good copy, `not_healed` why there is none; both are None before an attempt.
    """

    kind: str
    path: bytes | None
    detail: str
    number: int = 0
    snapshots: list[str] = field(default_factory=list)
    below: int = 0
    healed: str | None = None
    not_healed: str | None = None


class Report(Struct):
    """The result of verifying snapshots of one mirror. `unchecked` are sentences about what could not be checked, or
    not be remembered.
    """

    mirror: str
    snapshots: list[str] = field(default_factory=list)
    names: int = 0
    files_read: int = 0
    bytes_read: int = 0
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0
    unchecked: list[str] = field(default_factory=list)
    denied: int = 0  # names that this user may not read
    _known: dict[tuple[str, bytes | None, str, int], Finding] = field(default_factory=dict)

    def add(self, snapshot: str, kind: str, path: bytes | None, detail: str, number: int = 0) -> Finding:
        """Note a finding in a snapshot; the same in another snapshot is the same finding."""
        key = (kind, path, detail, number)
        finding = self._known.get(key)
        if finding is None:
            finding = Finding(kind, path, detail, number)
            if len(self.findings) >= _MOST:
                self.left_out += 1
                return finding
            self._known[key] = finding
            self.findings.append(finding)
        if snapshot not in finding.snapshots:
            finding.snapshots.append(snapshot)
        return finding

    def drop(self, finding: Finding) -> None:
        """Remove a finding that is half of another one."""
        if finding in self.findings:
            self.findings.remove(finding)
        self._known.pop((finding.kind, finding.path, finding.detail, finding.number), None)
