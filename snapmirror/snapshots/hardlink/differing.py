"""What differs between two snapshots, as a slot needs it: which names go, and which lines come."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from snapmirror.snapshots.lines import Numbered, name_of
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.merge import BothNumbered, OutOfOrder, differences, link_differences
from snapmirror.snapshots.spool import Spool

log = logging.getLogger("snapmirror.store")


@dataclass(frozen=True)
class Differing:
    """What a later snapshot has not, or otherwise: names as they are written. And what it has instead, or in
    addition: numbered lines, folders before what lies in them. A folder that stands in both differs itself.
    """

    gone: Sequence[bytes]
    new: Sequence[Numbered]


def compared(old: Path, new: Path | bytes) -> Differing | None:
    """What differs between two snapshots by their manifests; None, with a word to the log, if they cannot tell."""
    try:
        with closing(Reader(old)) as before, closing(Reader(new)) as after:
            pairs = Spool(differences(before, after.pieces(), numbers=after.numbers))
            pairs.extend(link_differences(before.links, after.links))
    except (DamagedManifest, OutOfOrder) as problem:
        log.warning("the manifests cannot be compared (%s)", problem)
        return None
    return differing_in(pairs)


def differing_in(pairs: Iterable[BothNumbered]) -> Differing:
    """The same of numbered lines of both."""
    gone, new = [], []
    for before, after in pairs:
        if before is not None:
            gone.append(name_of(before))
        if after is not None:
            new.append(after)
    return Differing(gone, new)
