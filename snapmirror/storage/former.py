"""Former generations of a copy: what an update replaces is kept beside it, for when the new one turns out to be bad.

    snapmirror.img.former.000007.update, .update.list    applied to the copy, they make it what it was before

It is an update (see `update`) the other way round, complete, on the disk and read back before the one that goes forward
is. So at every moment it leads to the generation before: the old copy it does not change, and of a mixture as well as
of the new copy it makes the old one. It takes the room of what has changed, not that of a second copy. The numbers only
grow; the generation before that one is made by the next lower number after it, and so on.

Each list says of which table of checksums it starts, and which it makes: those that do not belong to what is there are
removed, and one too many goes with the oldest. Runs no program.
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
    """What the files of each generation begin with, the newest first; blocks without a list count as one."""
    pattern = re.compile(re.escape(copy.name) + r"\.former\.(\d{6,12})\.update(\.list)?")
    numbers = {int(match[1]) for entry in copy.parent.iterdir() if (match := pattern.fullmatch(entry.name))}
    return [_stem(copy, number) for number in sorted(numbers, reverse=True)]


def mark_of(table: bytes | bytearray) -> str:
    """What stands for a table of checksums."""
    return hashlib.sha256(table).hexdigest()


def target(have: bytearray, want: bytearray, known: bytearray | None) -> bytearray:
    """The table of the generation that can be kept: what is there, but without damage that the update happens to mend.

    `known` is what should be there, if that is known.
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
    """Keep the generation `made` of the copy, which `reader` reads, by the runs that lead to it from `want`.

    False when the copy does not hold any more what its checksums say: then nothing is kept.
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
    """Remove the generations to which no way leads from a copy with this table, and those beyond `most`; what stays."""
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
    """Make room; False if there is nothing to drop."""
    if not (found := stems(copy)):
        return False
    update.discard(found[-1])
    return True


def taken_bytes(copy: Path) -> int:
    """The room that they take."""
    return sum(update.blocks_file(stem).lstat().st_size for stem in stems(copy) if update.is_there(stem))


def _stem(copy: Path, number: int) -> Path:
    return copy.with_name(f"{copy.name}.former.{number:06d}")


def _number(stem: Path) -> int:
    return int(stem.name.rpartition(".")[2])
