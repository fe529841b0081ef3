"""Random data is told from text, tables and programs, in blocks of any size that is looked at."""

from __future__ import annotations

import base64
import gzip
import random
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.night.randomness import (
    FEWEST,
    WINDOW,
    entropy,
    is_packed,
    is_plain,
    is_random,
    looks_scrambled,
    of_random,
    was_scrambled,
)

LENGTHS = st.integers(FEWEST, 2 * WINDOW)
PROGRAM = Path(sys.executable).resolve().read_bytes()[:1_000_000]


def windows(data: bytes) -> list[bytes]:
    return [data[place : place + WINDOW] for place in range(0, len(data), WINDOW)]


@given(st.integers(0, 2**32), LENGTHS)
def test_random_bytes_are_random_whatever_their_number(seed: int, length: int) -> None:
    data = random.Random(seed).randbytes(length)
    assert is_random(data) and not is_plain(data)
    assert abs(entropy(data) - of_random(length)) < 0.4


@given(st.text(min_size=FEWEST, max_size=WINDOW, alphabet=st.characters(codec="ascii", categories=["L", "N", "Z"])))
def test_text_of_letters_is_never_random(text: str) -> None:
    assert not is_random(text.encode())


@given(st.binary(min_size=0, max_size=3 * WINDOW))
def test_nothing_is_both_and_nothing_raises(data: bytes) -> None:
    assert not (is_random(data) and is_plain(data))
    assert 0 <= entropy(data) <= 8


@given(st.integers(0, 2**32), st.integers(512, 2 * WINDOW))
def test_what_is_written_in_letters_is_not_random(seed: int, length: int) -> None:
    """So encrypted data in base64 or hexadecimal is not seen: the page `ransomware` says so."""
    data = random.Random(seed).randbytes(length)
    for text in (base64.b64encode(data)[:length], data.hex().encode()[:length]):
        assert is_plain(text)


@pytest.mark.parametrize(
    "data",
    [
        Path(__file__).read_bytes(),
        "Grüße aus München, wo die Zahlen 1, 2 und 3 stehen.\n".encode() * 9,
        "Grüße aus München, wo die Zahlen 1, 2 und 3 stehen.\n".encode("utf-16") * 9,
        b"".join(struct.pack("<IdQ", number, number * 1.5, number * 7) for number in range(500)),
        bytes(WINDOW),
        *(PROGRAM[place : place + WINDOW] for place in range(0, len(PROGRAM), 97 * WINDOW)),
    ],
)
def test_what_people_keep_is_not_random(data: bytes) -> None:
    assert not is_random(data[:WINDOW])


def test_what_is_compressed_and_says_so_is_no_finding() -> None:
    text = Path(__file__).read_bytes() * 20
    packed = gzip.compress(text)
    assert is_packed(packed) and not looks_scrambled(windows(packed))
    assert not was_scrambled(windows(text), windows(packed))


@given(st.integers(0, 2**32), st.integers(FEWEST, 40_000))
def test_encrypted_text_has_turned_and_text_has_not(seed: int, length: int) -> None:
    rng = random.Random(seed)
    text = (" ".join(rng.choices(["the", "quick", "brown", "fox", "jumps"], k=length)))[:length].encode()
    other = (" ".join(rng.choices(["a", "lazy", "dog", "sleeps", "here"], k=length)))[:length].encode()
    encrypted = rng.randbytes(length)
    if not is_packed(encrypted):
        assert was_scrambled(windows(text), windows(encrypted))
    assert not was_scrambled(windows(text), windows(other))
    assert not was_scrambled(windows(encrypted), windows(rng.randbytes(length))), "it was random before"
    assert not was_scrambled(windows(encrypted), windows(text))


def test_a_file_that_is_encrypted_in_part() -> None:
    """Some ransomware is in a hurry: only the head, or only parts behind it."""
    rng = random.Random(7)
    text = [Path(__file__).read_bytes()[:2000] * 2] * 4
    noise = [rng.randbytes(WINDOW) for _ in range(4)]
    assert was_scrambled(text, [noise[0], *text[1:]])
    assert was_scrambled(text, [text[0], noise[1], text[2], noise[3]])
    assert not was_scrambled(text, [*text[:3], noise[3]]), "a picture in a document"
    assert not was_scrambled([], noise) and not was_scrambled(text, [])
