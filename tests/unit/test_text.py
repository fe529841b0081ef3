"""Names and numbers as people and JSON readers get them."""

from __future__ import annotations

import base64
import json
import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.model import count, size
from snapmirror.text import age, duration, harmless, printable
from snapmirror.views.fields import json_name

names = st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name and b"\0" not in name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"etc/fstab", "etc/fstab"),
        (b"a b", "a b"),
        ("größe".encode(), "größe"),
        (b"gr\xf6\xdfe", "gr\\xf6\\xdfe"),
        (b"two\nlines\tand\\", "two\\nlines\\tand\\\\"),
        (b"\x1b[2Jgone", "\\x1b[2Jgone"),
        ("invoice\u202efdp.exe".encode(), "invoice\\u202efdp.exe"),
        (b"\x7f", "\\x7f"),
    ],
)
def test_printable(name: bytes, expected: str) -> None:
    assert printable(name) == expected


@given(names)
def test_printable_is_harmless_and_unambiguous(name: bytes) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert unescaped(shown) == name


def unescaped(text: str) -> bytes:
    short = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\"}

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code in short:
            return os.fsdecode(short[code])
        number = int(code[1:], 16)
        return os.fsdecode(bytes([number])) if code[0] == "x" else chr(number)

    escape = r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[ntr\\])"
    return os.fsencode(re.sub(escape, one, text))


@given(names)
def test_json_names_keep_every_byte(name: bytes) -> None:
    fields = json.loads(json.dumps(json_name(name), ensure_ascii=False).encode("utf-8"))
    back = base64.b64decode(fields["path_base64"]) if "path_base64" in fields else fields["path"].encode()
    assert back == name


def test_json_name_of_a_plain_name_is_itself() -> None:
    assert json_name("etc/größe") == {"path": "etc/größe"}
    assert json_name(b"\xff", key="name") == {"name": "\\xff", "name_base64": "/w=="}


def test_harmless_keeps_lines_and_backslashes() -> None:
    assert harmless("a\\b\nc\x1b[0m") == "a\\b\nc\\x1b[0m"


def test_numbers_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 3 << 29, 1 << 50)] == ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "1024.0 TiB"]
    assert [count(1, "file"), count(12345, "file"), count(0, "entry", "entries")] == [
        "1 file",
        "12,345 files",
        "0 entries",
    ]
    assert [duration(s) for s in (0.04, 59.6, 245, 7380, 180000)] == [
        "0.0 s",
        "1 min 0 s",
        "4 min 5 s",
        "2 h 3 min",
        "2 d 2 h",
    ]


def test_age_of_the_future_says_so() -> None:
    now = datetime(2026, 11, 20, 3, tzinfo=UTC)
    assert age(now - timedelta(hours=5), now) == "5 h 0 min ago"
    assert age(now + timedelta(minutes=3), now) == "3 min 0 s in the future"
    assert age(now + timedelta(seconds=1.5), now) == "0.0 s ago"  # the second of two nights within a second
