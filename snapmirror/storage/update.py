"""An update of a copy: the differing blocks, written beside it in full before the copy itself is changed.

    snapmirror.img.update         the blocks, one after the other
    snapmirror.img.update.list    their numbers; exists only once the blocks are complete, on the disk, and read back

It is a redo journal: until the list exists the copy is the old one; from then on it can be turned into the new one,
repeatedly, by the next run or by hand, with `dd` alone (page `copy`). Two alternating whole copies would be as safe and
take twice the disk; writing into the only copy without a journal would not be safe. Runs no program.

The list: a line of JSON, then a line for each run of blocks: first block, count, BLAKE2b (128 bits) of the content, or
`hole`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror import files
from snapmirror.errors import DamageError, StorageError
from snapmirror.files import write_all
from snapmirror.storage import image
from snapmirror.storage.blocks import NONE, SUM_BYTES, Advance, Reader, Run, Shape, sum_of, uncached

_HEAD = {"format": "snapmirror copy update", "version": 1}
_ZEROS = bytes(1 << 20)
_LONGEST_LIST = 1 << 30  # bytes: a line for each run
_LONGEST_HEAD = 4096


class ChangedError(StorageError):
    """The source of an update does not match its checksums."""


class Patch(Struct, frozen=True):
    """A run of blocks, and the checksum of its new content; NONE for a hole."""

    run: Run
    sum: bytes


class Update(Struct, frozen=True):
    """The changes to make to a copy."""

    image_id: str
    shape: Shape
    patches: tuple[Patch, ...]

    @property
    def data_bytes(self) -> int:
        """The number of bytes to write."""
        return sum(self.shape.span(patch.run)[1] for patch in self.patches if not patch.run.hole)


def blocks_file(copy: Path) -> Path:
    """The file of the blocks."""
    return copy.with_name(f"{copy.name}.update")


def list_file(copy: Path) -> Path:
    """The file of the list."""
    return copy.with_name(f"{copy.name}.update.list")


def is_there(copy: Path) -> bool:
    """Whether a complete update waits to be applied."""
    return list_file(copy).exists()


def write(
    copy: Path,
    source: Reader,
    image_id: str,
    shape: Shape,
    runs: Iterable[Run],
    want: bytearray,
    advance: Advance,
    about: Mapping[str, object] | None = None,
) -> Update:
    """Write an update and make it complete. If interrupted before that, it leaves nothing that is used.

    `about` are further fields of its list. Raises ChangedError when the source does not match `want`.
    """
    patches: list[Patch] = []
    with _new(blocks_file(copy)) as descriptor:
        for run in runs:
            if run.hole:
                patches.append(Patch(run, NONE))
                continue
            start, length = shape.span(run)
            data = source.read(start, length)
            if source.sums(data) != want[run.block * SUM_BYTES : (run.block + run.count) * SUM_BYTES]:
                raise ChangedError(
                    "the image changed while it was copied",
                    hint="something else writes to it: end that, and copy again",
                )
            patches.append(Patch(run, sum_of(data)))
            write_all(descriptor, data)
            advance(length)
        os.fsync(descriptor)
    update = Update(image_id, shape, tuple(patches))
    check(copy, update, advance)
    _commit(copy, update, about or {})
    return update


def load(copy: Path) -> Update:
    """The waiting update. Raises StorageError when it cannot be parsed."""
    path = list_file(copy)
    try:
        head, *lines = files.read(path, _LONGEST_LIST).decode("ascii").splitlines()
        fields = json.loads(head)
        if fields["format"] != _HEAD["format"] or fields["version"] != _HEAD["version"]:
            raise ValueError(head)
        if fields["runs"] != len(lines):
            raise ValueError("it is cut")
        if fields.get("sha256", _digest(lines)) != _digest(lines):  # (the first version had none)
            raise ValueError("it has changed")
        shape = Shape(int(fields["size"]), int(fields["block"]))
        patches = tuple(_parse(line) for line in lines)
        if shape.size < 0 or shape.block < 1 or not _in_order(patches, shape.blocks):
            raise ValueError("blocks that cannot be")
        return Update(str(fields["image"]), shape, patches)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise StorageError(
            f"{path} is damaged: the copy beside it cannot be finished",
            hint=f"remove {copy.name}* there, then a new copy is made",
        ) from error


def about(copy: Path) -> dict[str, object]:
    """The fields of a list's first line; empty if there is no readable one."""
    try:
        with files.reading(list_file(copy)) as file:
            head = json.loads(file.readline(_LONGEST_HEAD))
    except (OSError, files.ForeignError, ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}


def check(copy: Path, update: Update, advance: Advance) -> None:
    """Read the blocks back. Raises DamageError when they do not match the list."""
    for patch, data in _blocks(copy, update):
        if sum_of(data) != patch.sum:
            raise unreadable(blocks_file(copy))
        advance(len(data))


def apply(copy: Path, target: Path, update: Update, advance: Advance) -> None:
    """Apply the update to `target`, flush it and read it back. It may be repeated any number of times."""
    descriptor = files.own(target)
    try:
        for patch in update.patches:
            if patch.run.hole:
                clear(descriptor, *update.shape.span(patch.run))
        for patch, data in _blocks(copy, update):
            write_all(descriptor, data, update.shape.span(patch.run)[0])
            advance(len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with uncached(target, update.shape) as reader:
        for patch in update.patches:
            start, length = update.shape.span(patch.run)
            right = reader.is_zero(start, length) if patch.run.hole else sum_of(reader.read(start, length)) == patch.sum
            if not right:
                raise unreadable(target)
            advance(0 if patch.run.hole else length)


def discard(copy: Path) -> None:
    """Remove an update, applied or incomplete. The list goes first: blocks without a list are ignored."""
    for path in (list_file(copy), blocks_file(copy)):
        path.unlink(missing_ok=True)
    files.sweep(list_file(copy))


def clear(descriptor: int, start: int, length: int) -> None:
    """Make a range read as zeros: a hole, or written zeros if that is impossible."""
    if image.punch(descriptor, start, length):
        return
    for at in range(start, start + length, len(_ZEROS)):
        write_all(descriptor, memoryview(_ZEROS)[: min(len(_ZEROS), start + length - at)], at)


def unreadable(file: Path) -> DamageError:
    """The error for a disk that returns other data than was written."""
    return DamageError(
        f"{file} does not read back as it was written",
        hint="this disk, its cable or its enclosure loses data: copy to another one",
    )


def settle(file: Path) -> None:
    """Flush a file's new name to the disk.

    The file itself is flushed as well: a share has this instead of flushing folders, and Windows writes its own journal
    then.
    """
    for path, flags in ((file, os.O_RDWR), (file.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(path, flags | os.O_CLOEXEC | (os.O_NOFOLLOW if path == file else 0))
        try:
            os.fsync(descriptor)
        except OSError:
            if path == file:
                raise
        finally:
            os.close(descriptor)


def _commit(copy: Path, update: Update, about: Mapping[str, object]) -> None:
    lines = [f"{p.run.block} {p.run.count} {'hole' if p.run.hole else p.sum.hex()}" for p in update.patches]
    head = {
        **_HEAD, "image": update.image_id, "size": update.shape.size, "block": update.shape.block,
        "runs": len(lines), "sha256": _digest(lines), **about,
    }  # fmt: skip
    write_file(list_file(copy), "".join(f"{line}\n" for line in [json.dumps(head), *lines]).encode("ascii"))


def write_file(path: Path, content: bytes) -> None:
    """Replace a small file, durably: whatever happens, the old or the new one is there."""
    with files.replacing(path, alone=True) as descriptor:
        write_all(descriptor, memoryview(content))
        os.fsync(descriptor)
    settle(path)


def _digest(lines: Sequence[str]) -> str:
    """The checksum of the list itself: a block number with a flipped bit would put a block in a wrong place."""
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


def _in_order(patches: Iterable[Patch], blocks: int) -> bool:
    """Whether runs follow each other within a file of so many blocks."""
    end = 0
    for patch in patches:
        if patch.run.block < end or patch.run.count < 1:
            return False
        end = patch.run.block + patch.run.count
    return end <= blocks


def _parse(line: str) -> Patch:
    block, count, value = line.split()
    if value == "hole":
        return Patch(Run(int(block), int(count), True), NONE)
    found = bytes.fromhex(value)
    if len(found) != SUM_BYTES:
        raise ValueError(line)
    return Patch(Run(int(block), int(count), False), found)


def _blocks(copy: Path, update: Update) -> Iterator[tuple[Patch, memoryview]]:
    """Every patch that has content, with its content."""
    at = 0
    with uncached(blocks_file(copy), Shape(update.data_bytes, update.shape.block)) as reader:
        for patch in update.patches:
            if not patch.run.hole:
                length = update.shape.span(patch.run)[1]
                yield patch, reader.read(at, length)
                at += length


@contextmanager
def _new(path: Path) -> Iterator[int]:
    """Make a new file and open it for writing, as a descriptor."""
    path.unlink(missing_ok=True)
    descriptor = files.own(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
