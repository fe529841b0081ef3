"""Healing: files that a verification has found damaged are replaced by a good copy, which is verified before use.

The copy comes from an intact name of the same file, from another file of the mirror with the same content, or from the
source (which the caller queries, see `history.heal`). It becomes a new inode, is never written into the damaged one,
and replaces that one under all of its names: names that shared an inode share one afterwards.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from snapmirror.errors import StorageError
from snapmirror.process import ProgramFailed
from snapmirror.snapshots.heal.case import Case
from snapmirror.snapshots.heal.donors import Donor, donors, recorded
from snapmirror.snapshots.heal.families import Family, families
from snapmirror.snapshots.history import History, Place, SupportsHealing
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.record import Healing
from snapmirror.snapshots.verify.attributes import Rules
from snapmirror.snapshots.verify.findings import (
    CONTENT,
    MISSING,
    MODE,
    OWNER,
    SIZE,
    TIME,
    TYPE,
    UNREADABLE,
    Finding,
    Report,
)
from snapmirror.tools.filesystems import sync

_HEALABLE = frozenset({CONTENT, SIZE, UNREADABLE, MISSING, TYPE, MODE, OWNER, TIME})
_NOT_THIS_KIND = "this kind of damage is not healed"
_SECOND = 1_000_000_000


class Healer:
    """Examines and then mends the damage in a report of one mirror. Every finding gets a result."""

    def __init__(self, history: History, healing: SupportsHealing, report: Report, rules: Rules) -> None:
        self.history, self.healing, self.report, self.rules = history, healing, report, rules
        self.trees = {snapshot.id: Tree(history.tree(snapshot)) for snapshot in history.snapshots()}
        self.cases: list[Case] = []
        self.folders: list[Family] = []
        self.donors: dict[bytes, Donor] = {}
        self._findings: dict[tuple[int, bytes], list[Finding]] = {}

    def look(self) -> None:
        """Find out what can be healed from the mirror itself."""
        for finding in self.report.findings:
            finding.not_healed = _NOT_THIS_KIND
            if finding.kind in _HEALABLE and finding.path is not None and finding.number:
                finding.not_healed = "the manifests of its snapshots are damaged"
                self._findings.setdefault((finding.number, finding.path), []).append(finding)
        found, blind = families(self.history, self._findings)
        if blind and found:
            self.report.unchecked.append(
                f"the manifests of {', '.join(blind)} are damaged: what these snapshots share with a healed file stays"
            )
        self.folders = [family for family in found if family.members[0].entry.is_directory]
        files = [family for family in found if not family.members[0].entry.is_directory]
        sums = recorded(self.history, {key for family in files for key in family.keys})
        for family in files:
            known = {sums[key] for key in family.keys if key in sums}
            case = Case(family, known.pop() if len(known) == 1 else None)
            case.kinds = tuple(sorted({finding.kind for finding in self._of(family)}))
            if known:
                case.problem = "its checksums disagree"
            case.look(self.trees, self.rules)
            self.cases.append(case)
        wanted = {case.checksum: case.entry.size for case in self._without_content() if case.checksum}
        self.donors = donors(self.history, wanted) if wanted else {}

    def _of(self, family: Family) -> list[Finding]:
        return [finding for key in family.keys for finding in self._findings.get(key, ())]

    def _without_content(self) -> list[Case]:
        return [case for case in self.cases if case.problem is None and case.own_content is None]

    def lacking(self) -> list[Case]:
        """The files without a good copy in the mirror itself."""
        return [case for case in self._without_content() if case.checksum not in self.donors]

    def mend(
        self, fetched: Mapping[bytes, bytes], why_not: str, where: str, advance: Callable[[int, int], None]
    ) -> None:
        """Heal what can be; `fetched`: files from the source (`where`) by checksum, `why_not`: the reason for others.

        Raises StorageError when the store fails; files healed by then stay healed, and are recorded.
        """
        try:
            for case in self.cases:
                source = self._mend(case, fetched, where) if case.problem is None else None
                for finding in self._of(case.family):
                    finding.healed = source
                    finding.not_healed = None if source else case.problem or why_not
                advance(len(case.places), case.entry.size)
            for family in self.folders:
                self._mend_folder(family)
        except (OSError, ProgramFailed) as error:
            said = error.completed.complaint if isinstance(error, ProgramFailed) else error.strerror
            full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
            raise StorageError(
                f"healing stopped, the store failed: {said}",
                hint="make room, then run it again" if full else "see the kernel's log; run it again: it goes on",
            ) from error

    def _mend(self, case: Case, fetched: Mapping[bytes, bytes], where: str) -> str | None:
        """Heal one file; return where the good copy came from, None if there is none."""
        assert case.checksum is not None
        new = self.healing.new_file()
        if (good := case.good) is not None:
            full, source = good.full, "another name of the same file"
        elif (own := case.own_content) is not None:
            case.make(own.full, new, self.rules, with_attributes=True)
            full, source = new, "its own content"
        elif (donor := self.donors.get(case.checksum)) is not None:
            case.make(donor.full, new, self.rules, with_attributes=False)
            full, source = new, donor.told
        elif (file := fetched.get(case.checksum)) is not None:
            case.make(file, new, self.rules, with_attributes=True)
            full, source = new, f"the source {where}"
        else:
            return None
        if case.problem:
            return None
        self._replace(case, full, source)
        return source

    def _replace(self, case: Case, full: bytes, source: str) -> None:
        status = os.lstat(full)
        paths = list(dict.fromkeys(place.path for place in case.places))
        damaged = set(case.inodes) - {status.st_ino}
        # unpublished names as well: the next night must not use a damaged file
        private = self.healing.private_places(paths, damaged)
        # an intact name stays as it is, even if it is an inode of its own
        public = [place for place in case.places if not self._is_right(case, place)]
        note = Healing(
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            path=case.entry.path.decode("utf-8", "backslashreplace"),
            kinds=case.kinds,
            source=source,
        )
        self.healing.replace(full, [*private, *public], note)

    def _is_right(self, case: Case, place: Place) -> bool:
        inode = case.inodes.get(place.tree.inode(place.path) or 0)
        return inode is not None and inode.right

    def _mend_folder(self, family: Family) -> None:
        """Mend a folder's time, which the removal of a name has changed. A folder belongs to one snapshot alone."""
        for finding in self._of(family):
            if finding.kind != TIME:
                continue
            for member in family.members:
                if member.snapshot.id in finding.snapshots and member.number == finding.number:
                    tree, wanted = self.trees[member.snapshot.id], member.entry.mtime
                    full = tree.at(member.entry.path)
                    times = [wanted * _SECOND]
                    for other in family.members:  # the same folder in other snapshots has the fraction of the second
                        with suppress(OSError):
                            time = os.lstat(self.trees[other.snapshot.id].at(other.entry.path)).st_mtime_ns
                            if other.entry.line == member.entry.line and time // _SECOND == wanted:
                                times.append(time)
                    os.utime(full, ns=(os.lstat(full).st_atime_ns, times[-1]))
                    sync(full)
            finding.healed, finding.not_healed = "the manifest", None


__all__ = ["Case", "Healer"]
