"""Names and times in JSON.

A name may hold any byte but / and NUL. It is its printable text (see `text`) under "path", and, when that is not the
name itself, its bytes are under "path_base64".
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from datetime import UTC, datetime

from snapmirror.text import harmless, printable

VERSION = 1


def json_name(name: bytes | str | os.PathLike[str], key: str = "path") -> dict[str, str]:
    """`{"path": …}`, and `"path_base64"` beside it when the text had to be escaped."""
    raw, text = os.fsencode(name), printable(name)
    fields = {key: text}
    if text.encode() != raw:
        fields[f"{key}_base64"] = base64.b64encode(raw).decode("ascii")
    return fields


def plain(sentences: Sequence[str]) -> list[str]:
    """Sentences that may hold names of a server, without what a terminal would obey."""
    return [harmless(sentence) for sentence in sentences]


def utc_time(moment: datetime) -> str:
    """A moment: UTC, ISO 8601."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_of(seconds: float) -> str:
    """The same for seconds since 1970."""
    return utc_time(datetime.fromtimestamp(seconds, UTC))
