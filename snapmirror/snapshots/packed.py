"""Small files of lines in a zstd stream, each line a word, a blank and the rest: `zstdcat` reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import zstandard

from snapmirror import files
from snapmirror.errors import DamageError, shortage
from snapmirror.snapshots.manifest import LONGEST_LINE, MOST_WINDOW
from snapmirror.snapshots.spool import Spool

_BLOCK = 256  # bytes of a packed file that are unpacked at once: 8 MB at most
_LINES = 4096


def pack(pairs: Spool[bytes, bytes]) -> bytes:
    """The bytes of a file with these pairs of word and rest."""
    lines: list[bytes] = []
    size = sum(len(word or b"") + len(rest or b"") + 2 for word, rest in pairs)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=6, write_checksum=True).stream_writer(packed, size=size, closefd=False) as file:
        for word, rest in pairs:
            lines.append(b"%s %s\n" % (word, rest))
            if len(lines) >= _LINES:
                file.write(b"".join(lines))
                lines.clear()
        file.write(b"".join(lines))
    return packed.getvalue()


def read(path: Path, what: str) -> Iterator[tuple[bytes, bytes]]:
    """(word, rest) of each line; nothing if the file is absent. Raises DamageError, which says `what` it is of."""
    try:
        with files.reading(path) as file:
            stream, rest = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj(), b""
            while packed := file.read(_BLOCK):
                *lines, rest = (rest + stream.decompress(packed)).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise DamageError(f"the {what} {path} has a line without an end")
                for line in lines:
                    word, _, text = line.partition(b" ")
                    if not text:
                        raise DamageError(f"the {what} {path} is damaged: a line without a name")
                    yield word, text
    except FileNotFoundError:
        return
    except files.ForeignError as error:
        raise DamageError(f"the {what} {path} {error.what}") from error
    except (zstandard.ZstdError, OSError) as error:
        raise shortage(error) or DamageError(f"the {what} {path} is damaged: {error}") from error
    if not stream.eof:
        raise DamageError(f"the {what} {path} is cut")
