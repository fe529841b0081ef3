"""Decides whether data looks random, as encrypted and compressed data do. Pure functions of a few kilobytes.

Bytes of text have an entropy of 4 to 5 bits each, base64 6, programs and tables 5 to 7, random ones 8. A short block of
random bytes has less than 8, because not all values occur in it: so the measured value is compared with that of equally
many random bytes. Measured on 4 KiB: random 7.95 ± 0.01.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

WINDOW = 4096
"""The number of bytes that are examined in one place."""
FEWEST = 128
"""Fewer bytes are too few for a decision."""
_RANDOM, _PLAIN = 0.4, 0.6  # bits below the entropy of random bytes, which varies by 0.07 for 128 bytes
_MOST_OF = 2  # of three places after the head

# Signatures of compressed files. (Ransomware could write them as well; the known kinds do not.)
_PACKED = (
    b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c",
    b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"%PDF-", b"Rar!",
    b"\x1a\x45\xdf\xa3",
)  # fmt: skip
_MP4 = b"ftyp"


def entropy(data: bytes) -> float:
    """The entropy in bits per byte, by the frequency of each value; 0 for empty data."""
    total = len(data)
    return math.log2(total) - sum(n * math.log2(n) for n in Counter(data).values()) / total if total else 0.0


@lru_cache(maxsize=256)
def of_random(length: int) -> float:
    """The average entropy of so many random bytes."""
    rate = length / 256
    term, seen = math.exp(-rate), 0.0
    for times in range(1, int(rate + 12 * math.sqrt(rate) + 24)):
        term *= rate / times
        seen += term * times * math.log2(times)
    return math.log2(length) - seen / rate


def is_random(data: bytes) -> bool:
    """Whether it is as random as encrypted data."""
    return len(data) >= FEWEST and _shows(data, of_random(len(data)) - _RANDOM)


def is_plain(data: bytes) -> bool:
    """Whether it is clearly not random."""
    return len(data) >= FEWEST and not _shows(data, of_random(len(data)) - _PLAIN)


def _shows(data: bytes, bits: float) -> bool:
    """Whether the entropy is more than so many bits. Text has few values, which is quick to detect."""
    return len(set(data)) > 2**bits and entropy(data) > bits


def is_packed(head: bytes) -> bool:
    """Whether a file with this head is marked as compressed."""
    return head.startswith(_PACKED) or head[4:8] == _MP4


def looks_scrambled(windows: Sequence[bytes]) -> bool:
    """Whether a file may be encrypted, by its head and up to three other places: all of it, its head, or parts."""
    if not windows or is_packed(windows[0]):
        return False
    return is_random(windows[0]) or sum(map(is_random, windows[1:])) >= _MOST_OF


def was_scrambled(before: Sequence[bytes], after: Sequence[bytes]) -> bool:
    """Whether plain content has turned random, in the same places of a file: at its head, or in most others."""
    if not looks_scrambled(after) or not before:
        return False
    turned = [is_plain(old) and is_random(new) for old, new in zip(before, after, strict=False)]
    return turned[0] or sum(turned[1:]) >= _MOST_OF
