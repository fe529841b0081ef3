"""The one way that names and messages from outside take to a screen, a log or a mail: whatever they hold, no harm."""

from __future__ import annotations

import base64
import errno
import json
import os
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from snapmirror.night.night import _storage_error
from snapmirror.text import harmless, printable
from snapmirror.views.fields import json_name

_PIECES = st.sampled_from(
    [b"\x1b[2J", b"\x1b]0;title\x07", b"\xc2\x9b31m", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\xff\xfe", b"\xed\xa0\x80",
     b"\r", b"\n", b"\\", b"\\x1b", b"[red]", b"[link=file:///etc]x[/link]", b"%s{0}", b"\nSubject: x", b"=1+1"]
)  # fmt: skip
_NAMES = st.one_of(st.binary(max_size=40), st.lists(_PIECES, max_size=4).map(b"".join))
_BAD = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def safe(text: str, *, allowed: str = "") -> None:
    text.encode()  # no lone surrogates: any strict writer takes it
    bad = [c for c in text if c not in allowed and unicodedata.category(c) in _BAD]
    assert not bad, f"{text!r} holds {bad!r}"


@given(_NAMES)
@example(b"\xe2\x80\xa8line separator")
@example(b"\xed\xb2\x80 a surrogate, spelled out")
def test_a_name_is_safe_and_unambiguous(name: bytes) -> None:
    safe(printable(name))
    fields = json.loads(json.dumps(json_name(name)))
    raw = base64.b64decode(fields["path_base64"]) if "path_base64" in fields else fields["path"].encode()
    assert raw == name


@given(_NAMES, _NAMES)
def test_two_names_never_look_the_same(one: bytes, other: bytes) -> None:
    assert (printable(one) == printable(other)) == (one == other)


@given(st.one_of(st.text(max_size=40), _NAMES.map(os.fsdecode)))
def test_a_message_is_safe(message: str) -> None:
    safe(harmless(message), allowed="\n")


@given(_NAMES)
def test_an_error_of_the_store_may_name_any_file(name: bytes) -> None:
    """It goes into the report as it is."""
    safe(_storage_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), b"/store/" + name)).message)
