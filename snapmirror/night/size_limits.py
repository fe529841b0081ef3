"""Files that leave the newest snapshot because they have grown over `max_size`, or shrunk below `min_size`.

A source reports the names that it leaves out for that; they are not in the listing. Runs no program.
"""

from __future__ import annotations

from collections.abc import Iterator

from snapmirror.config import MirrorConfig
from snapmirror.model import size
from snapmirror.snapshots.entry import escape, path_of, unescape
from snapmirror.snapshots.lines import holds_file, unnumbered
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.spool import Spool
from snapmirror.sources.protocol import OVER, UNDER

_SHOWN = 5


def warnings(mirror: MirrorConfig, plan: Plan, skipped: Spool[bytes, bytes]) -> Iterator[str]:
    """A sentence on the files that the last snapshot holds and the new one lacks because of their size."""
    gone = {path_of(unnumbered(line)) for line in plan.delete if holds_file(line)}
    if not gone:
        return
    left: dict[bytes | None, list[bytes]] = {OVER: [], UNDER: []}
    for name, end in skipped:
        if name is not None and (path := unescape(name)) in gone:
            left[end].append(path)
    for end, what, limit in (
        (OVER, "has grown over max_size", mirror.max_size),
        (UNDER, "has shrunk below min_size", mirror.min_size),
    ):
        if names := left[end]:
            shown = ", ".join(escape(path).decode("utf-8", "backslashreplace") for path in names[:_SHOWN])
            many = "1 file" if len(names) == 1 else f"{len(names)} files"
            what = what if len(names) == 1 else what.replace("has", "have", 1)
            more = ", …" if len(names) > _SHOWN else ""
            yield f"{many} of the last snapshot {what} = {size(limit or 0)}, so the new one lacks: {shown}{more}"
