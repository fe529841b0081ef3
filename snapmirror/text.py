"""Names, sentences and times for people.

A name may hold any byte but / and NUL. On screen and in logs unprintable characters are escaped: control characters
(a name must not be able to move the cursor), bytes that are not UTF-8, invisible and direction-changing characters.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
_NOT_AHEAD_SECONDS = 60


def printable(name: bytes | str | os.PathLike[str]) -> str:
    """A name, unambiguous and harmless: `\\n`, `\\x1b` (a byte), `\\u202e` (a character), `\\\\` (a backslash)."""
    text = os.fsdecode(name)
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(character) for character in text)


def harmless(message: str) -> str:
    """A sentence that may hold names: as `printable`, but line breaks and backslashes stay as they are."""
    if message.isprintable():
        return message
    return "".join(c if c in "\n\\" or c.isprintable() else _escaped(c) for c in message)


def duration(seconds: float) -> str:
    """3 s, 4 min 5 s, 2 h 3 min, 5 d 2 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def local_time(moment: datetime) -> str:
    """A moment on screen: local time, to the second, and its zone; snapshots are named by UTC."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def age(since: datetime, now: datetime) -> str:
    """How long ago: 5 h 3 min ago; in the future, when the clock was set back.

    Some seconds ahead are none: of two snapshots within a second the later one is named by the next second.
    """
    passed: timedelta = now - since
    seconds = passed.total_seconds()
    if -_NOT_AHEAD_SECONDS <= seconds < 0:
        seconds = 0.0
    return f"{duration(seconds)} ago" if seconds >= 0 else f"{duration(-seconds)} in the future"


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
