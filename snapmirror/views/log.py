"""`log --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapmirror.text import harmless
from snapmirror.views.fields import plain, utc_of

if TYPE_CHECKING:
    from snapmirror.state.logbook import Entry

VERSION = 1


def night(one: Entry) -> dict[str, Any]:
    """A night of a mirror, as the logbook has it."""
    text = {key: harmless(value) if value else None for key, value in (("error", one.error), ("hint", one.hint))}
    fields = one.model_dump(exclude={"finished", "store_free", "disk_free"})
    return {
        "finished_at": utc_of(one.finished), **fields, **text,
        "warnings": plain(one.warnings),
        "run_warnings": plain(one.run_warnings),
        "store_free_bytes": one.store_free, "disk_free_bytes": one.disk_free,
    }  # fmt: skip
