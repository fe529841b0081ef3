"""Former generations of a copy: the blocks that an update replaces are kept, in case the new generation is bad.

    snapmirror.img.former.000007.update, .update.list    applied to the copy, they restore the generation before

It is an update (see `update`) in reverse: complete, on the disk and read back before the forward one is. So at every
moment it produces the generation before: it does not change the old copy, and turns a mixture or the new copy into the
old one. It takes only the room of the changed blocks, not that of a second copy. The numbers only grow; applying the
next lower number after it produces the generation before that one, and so on.

Each list says from which table of checksums it starts, and which it produces: generations that do not lead to the
present copy are removed, and the oldest if there are too many. Runs no program.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from snapmirror.storage import update
from snapmirror.storage.blocks import SUM_BYTES, Advance, Reader, Run, Shape

log = logging.getLogger("snapmirror.copy")


def stems(copy: Path) -> list[Path]:
    """The stem of each generation's files, newest first; blocks without a list count as a generation."""
    pattern = re.compile(re.escape(copy.name) + r"\.former\.(\d{6,12})\.update(\.list)?")
    numbers = {int(match[1]) for entry in copy.parent.iterdir() if (match := pattern.fullmatch(entry.name))}
    return [_stem(copy, number) for number in sorted(numbers, reverse=True)]


def mark_of(table: bytes | bytearray) -> str:
    """The identifier of a table of checksums."""
    return hashlib.sha256(table).hexdigest()


def target(have: bytearray, want: bytearray, known: bytearray | None) -> bytearray:
    """The table of the generation that can be kept: the present one, without damage that the update happens to mend.

    `known` is the table that should be there, if it is known.
    """
    if known is None or known == have:
        return have
    made = bytearray(have)
    for at in range(0, len(made), SUM_BYTES):
        block = slice(at, at + SUM_BYTES)
        if have[block] != known[block] == want[block]:
            made[block] = want[block]
    return made


def write(
    copy: Path,
    reader: Reader,
    image_id: str,
    shape: Shape,
    runs: Sequence[Run],
    want: bytearray,
    made: bytearray,
    advance: Advance,
) -> bool:
    """Keep the generation `made` of the copy, which `reader` reads, as the runs that produce it from `want`.

    False when the copy does not match its checksums any more: then nothing is kept.
    """
    number = max((_number(stem) for stem in stems(copy)), default=0) + 1
    stem = _stem(copy, number)
    about = {"of": mark_of(want), "makes": mark_of(made), "modified": copy.lstat().st_mtime}
    try:
        update.write(stem, reader, image_id, shape, runs, made, advance, about)
    except update.ChangedError:
        update.discard(stem)
        return False
    except BaseException:
        update.discard(stem)
        raise
    return True


def tidy(copy: Path, table: bytes | bytearray, most: int) -> list[Path]:
    """Remove generations that do not lead to a copy with this table, and those beyond `most`; return the rest."""
    kept: list[Path] = []
    mark: object = mark_of(table)
    for stem in stems(copy):
        about = update.about(stem)
        if len(kept) < most and about.get("of") == mark:
            kept.append(stem)
            mark = about.get("makes")
        else:
            update.discard(stem)
    return kept


def drop_oldest(copy: Path) -> bool:
    """Remove the oldest generation; False if there is none."""
    if not (found := stems(copy)):
        return False
    update.discard(found[-1])
    return True


def taken_bytes(copy: Path) -> int:
    """The space that they take."""
    return sum(update.blocks_file(stem).lstat().st_size for stem in stems(copy) if update.is_there(stem))


def _stem(copy: Path, number: int) -> Path:
    return copy.with_name(f"{copy.name}.former.{number:06d}")


def _number(stem: Path) -> int:
    return int(stem.name.rpartition(".")[2])
