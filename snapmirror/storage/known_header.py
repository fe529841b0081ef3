"""Checks whether the image still has the LUKS header that this machine knows. Runs no program.

Others may be able to write the header in the image, so it proves nothing. `init` keeps a copy of it in the state
folder; an image is opened with that copy (dm-crypt), or after all meaningful bytes of its header were found equal to it
(qemu-storage-daemon reads the image's own). A changed header is refused. The administrator vouches for `header_backup`:
after a change of a key slot he makes that copy anew, and a header that equals it is accepted. If neither copy exists,
the image's header is trusted once, if it is like those that `init` makes and the key opens it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct

from snapmirror.config import Config
from snapmirror.errors import StorageError
from snapmirror.model import NOTICE
from snapmirror.state_folder import state_file
from snapmirror.storage import header
from snapmirror.storage.header import Header
from snapmirror.storage.image import ImageRecord
from snapmirror.tools import filesystems

log = logging.getLogger("snapmirror.encryption")


class Copies(Struct, frozen=True):
    """The paths of the known header and of the administrator's copy. Either may be missing."""

    known: Path
    backup: Path | None = None


class Judged(Struct, frozen=True):
    """The image's header, and the local copy that it equals: the known one, the administrator's, or none."""

    header: Header
    equals: Literal["known", "backup", "nothing"]


class Local(Struct, frozen=True):
    """A local copy of a header. Call `accept` once the key has opened it."""

    path: Path
    header: Header
    accept: Callable[[], None]

    def check(self, image: Path) -> None:
        """Raises StorageError when the image has another header by now."""
        if not header.same(self.path, image, self.header.spans):
            raise StorageError(f"the LUKS header of {image} changed while it was opened", hint="who writes to it?")


def copies_of(config: Config) -> Copies:
    """The copies of the configured image's header."""
    return Copies(state_file(config, ".luks-header"), config.image.header_backup if config.image else None)


def judge(image: Path, record: ImageRecord, copies: Copies) -> Judged:
    """Whether the image's header may be used, and why. Only reads. Raises StorageError when it may not."""
    try:
        found = header.read(image)
    except OSError as error:
        raise StorageError(f"the LUKS header of {image} cannot be read: {error.strerror}") from error
    except header.Unreadable as problem:
        raise _another(image, record, copies, f": {problem}") from problem
    if (found.version, found.uuid) != (2 if record.encryption == "luks2" else 1, record.id):
        raise _another(image, record, copies)
    if found.odd:
        raise StorageError(
            f"the LUKS header of {image} is not as init made it: {found.odd[0]}",
            hint=f"somebody has changed it, and nothing may be written there; {_restore(image, copies)}",
        )
    if equals(image, found, copies.known):
        return Judged(found, "known")
    if equals(image, found, copies.backup):
        return Judged(found, "backup")
    if not any(path is not None and path.exists() for path in (copies.known, copies.backup)):
        return Judged(found, "nothing")
    again = f"cryptsetup luksHeaderBackup {image} --header-backup-file {copies.backup}"
    if copies.backup is not None and copies.backup.exists():
        again = f"mv {copies.backup} {copies.backup}.old; {again}"
    raise StorageError(
        f"the LUKS header of {image} has changed since this machine saw it last",
        hint=f"if you have changed a key slot yourself: {again}; else {_restore(image, copies)}",
    )


@contextmanager
def local(image: Path, record: ImageRecord, copies: Copies) -> Iterator[Local]:
    """A local copy of the image's header, to open the image. Raises StorageError when the image has another header."""
    judged = judge(image, record, copies)
    if judged.equals == "known":
        yield Local(copies.known, judged.header, lambda: None)
        return
    source = copies.backup if judged.equals == "backup" and copies.backup is not None else image
    if judged.equals == "nothing":
        log.warning(
            "there is no copy of the LUKS header of %s: taking it as it is now. Make one with: cryptsetup "
            "luksHeaderBackup %s --header-backup-file %s", image, image, copies.backup,
        )  # fmt: skip
    elif copies.known.exists():
        log.log(NOTICE, "the LUKS header of %s has changed, and equals %s: taken", image, copies.backup)
    new = copies.known.with_name(f"{copies.known.name}.new")
    try:
        with _keeping(copies.known):
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            header.copy(source, new, judged.header)
        if judge(new, record, Copies(new)).header != judged.header:
            raise StorageError(f"the LUKS header of {image} changes while it is read", hint="who writes to it?")
        yield Local(new, judged.header, lambda: _keep(new, copies))
    finally:
        new.unlink(missing_ok=True)


def learn(source: Path, copies: Copies) -> None:
    """Keep a header that was just made as the known one."""
    new = copies.known.with_name(f"{copies.known.name}.new")
    with _keeping(copies.known):
        new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        header.copy(source, new, header.read(source))
    _keep(new, copies)


def _keep(staged: Path, copies: Copies) -> None:
    with _keeping(copies.known):
        staged.replace(copies.known)
        filesystems.sync(copies.known.parent)


def _another(image: Path, record: ImageRecord, copies: Copies, why: str = "") -> StorageError:
    return StorageError(
        f"{image} does not carry the {record.encryption} header that was made for it{why}",
        hint=f"put the right image in its place, or, {_restore(image, copies)}",
    )


@contextmanager
def _keeping(known: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the copy of the LUKS header {known} cannot be made: {error.strerror}",
            hint="make room there, or set state_dir in [store]",
        ) from error


def equals(image: Path, found: Header, path: Path | None) -> bool:
    """Whether a copy exists, is readable, and equals the image's header in the bytes that the *copy* marks as used."""
    if path is None or not os.path.lexists(path):
        return False
    try:
        ours = header.read(path)
        return ours.spans == found.spans and header.same(image, path, ours.spans)
    except (header.Unreadable, OSError) as error:
        log.warning("the copy of the LUKS header %s cannot be used: %s", path, error)
        return False


def _restore(image: Path, copies: Copies) -> str:
    source = copies.backup if copies.backup is not None and copies.backup.exists() else copies.known
    return f"to put it back: cryptsetup luksHeaderRestore {image} --header-backup-file {source}"
