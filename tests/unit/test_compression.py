"""When `auto` compresses: until the line was seen to carry more than a processor compresses."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.sources.compression import Compression
from snapmirror.tools.rsync import Compress

REFUSED = b"rsync: The server is configured to refuse --compress (-z)\nrsync error: error in socket IO (code 10)\n"
RUNS = st.tuples(st.integers(0, 1 << 34), st.floats(0.001, 10_000))


@pytest.mark.parametrize("choice", get_args(Compress))
def test_a_local_source_is_never_compressed(choice: Compress) -> None:
    assert Compression(choice, remote=False).choice == "off"


@given(runs=st.lists(RUNS))
def test_auto_stops_once_the_line_has_carried_much_fast(runs: list[tuple[int, float]]) -> None:
    compression = Compression("auto", remote=True)
    for received, seconds in runs:
        compression.saw(received, seconds)
    fast = any(received >= 32_000_000 and received / seconds > 100_000_000 for received, seconds in runs)
    assert compression.choice == ("off" if fast else "auto")


@given(choice=st.sampled_from(["zstd", "zlib", "off"]), runs=st.lists(RUNS))
def test_what_was_configured_stays(choice: Compress, runs: list[tuple[int, float]]) -> None:
    compression = Compression(choice, remote=True)
    for received, seconds in runs:
        compression.saw(received, seconds)
    assert not compression.is_refused(REFUSED)
    assert compression.choice == choice


def test_auto_goes_without_where_the_server_refuses() -> None:
    compression = Compression("auto", remote=True)
    other = b"rsync: connection unexpectedly closed (0 bytes received so far)\n"
    seen = [(compression.is_refused(stderr), str(compression.choice)) for stderr in (other, REFUSED, REFUSED)]
    assert seen == [(False, "auto"), (True, "off"), (False, "off")], "the third refusal has another reason"
