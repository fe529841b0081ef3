"""The difference of two snapshots, in the form that a slot needs: the names to remove and the lines to add."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from snapmirror.snapshots.lines import Numbered, name_of
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.merge import BothNumbered, OutOfOrder, differences, link_differences
from snapmirror.snapshots.spool import Spool

log = logging.getLogger("snapmirror.store")


class Differing(Struct, frozen=True):
    """Names (escaped) that a later snapshot lacks or has changed; and the lines (numbered) that it has instead, or in
    addition, folders before their content. A folder in both lists differs itself.
    """

    gone: Sequence[bytes]
    new: Sequence[Numbered]


def compared(old: Path, new: Path | bytes) -> Differing | None:
    """The difference of two snapshots by their manifests; None, with a log message, if they cannot be read."""
    try:
        with closing(Reader(old)) as before, closing(Reader(new)) as after:
            pairs = Spool(differences(before, after.pieces(), numbers=after.numbers))
            pairs.extend(link_differences(before.links, after.links))
    except (DamagedManifest, OutOfOrder) as problem:
        log.warning("the manifests cannot be compared (%s)", problem)
        return None
    return differing_in(pairs)


def differing_in(pairs: Iterable[BothNumbered]) -> Differing:
    """The difference, from pairs of numbered lines."""
    gone, new = [], []
    for before, after in pairs:
        if before is not None:
            gone.append(name_of(before))
        if after is not None:
            new.append(after)
    return Differing(gone, new)
