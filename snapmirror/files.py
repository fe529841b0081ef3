"""Our files in places where others may write, or may have written: never through a link, never somebody else's.

Whoever may write in a folder, or controls the share or the disk that it lies on, can put a symlink, a hard link, a FIFO
or a device under any name in it. So a new file is made under a name that nobody can guess and renamed into place; an
existing one is opened without following a link and without waiting, and is checked before it is used.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from snapmirror.errors import StorageError

MOST_BYTES = 64 << 20
"""No small file of ours is larger."""
_PIECE = 1 << 20
_MOST_LINKS = 40  # on the way to a folder, as in the kernel
_ANEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEAD_SECONDS = 3600
_HINT = "somebody else made it: inspect it, move it away, and run again"


class ForeignError(StorageError):
    """Something else is in the place of a file or folder of ours."""

    def __init__(self, path: Path | bytes, what: str) -> None:
        self.what = what
        super().__init__(f"{os.fsdecode(path)!r} {what}; it was not touched", hint=_HINT)


def byte_order_mark(named: str, path: Path) -> tuple[str, str]:
    """The sentence about a text file that begins with a byte order mark, and how to mend it."""
    return (
        f"{named} begins with a byte order mark, which becomes a part of its first line",
        f"save it as UTF-8 without BOM: sed --in-place '1s/^\\xef\\xbb\\xbf//' {path}",
    )


def why(error: OSError | ForeignError) -> str:
    """The reason of a failed read or write in words, with the file."""
    return error.message if isinstance(error, ForeignError) else f"{error.filename}: {error.strerror}"


def kind_of(mode: int) -> str:
    """The kind of a file of this mode, in words."""
    for is_one, name in _KINDS:
        if is_one(mode):
            return name
    return "something else"


_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symlink"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def folder_status(path: Path) -> os.stat_result | None:
    """The status of a folder of ours; None if it is missing, or may not be read. Raises ForeignError."""
    with suppress(FileNotFoundError, PermissionError):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise ForeignError(path, f"is {kind_of(status.st_mode)}, not a folder")
        return status
    return None


@contextmanager
def folder(path: Path) -> Iterator[int]:
    """A folder as a descriptor, for the names in it. A symlink in its path is followed only if it is root's or ours.

    Raises OSError, and ForeignError for a link of somebody else's.
    """
    with ExitStack() as stack:

        def enter(name: str, flags: int = 0, inside: int | None = None) -> int:
            try:
                descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=inside)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            stack.callback(os.close, descriptor)
            return descriptor

        here, links = enter(path.anchor or "."), 0
        parts = list(reversed(path.parts[1:] if path.anchor else path.parts))
        while parts:
            name = parts.pop()
            found = enter(name, os.O_NOFOLLOW, here)
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                here = found
                continue
            if status.st_uid not in {0, os.geteuid()}:
                raise ForeignError(path, f"leads through the symlink {name!r} of another user")
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = Path(os.readlink("", dir_fd=found))
            parts += reversed(target.parts[1:] if target.anchor else target.parts)
            if target.anchor:
                here = enter("/")
        if not stat.S_ISDIR(os.fstat(here).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        yield here


# --- files that are there


def opened(path: Path | bytes, flags: int = os.O_RDONLY, *, inside: int | None = None) -> int:
    """A regular file as a descriptor: never through a symlink, and never waiting for the other end of a pipe.

    `inside`: the descriptor of the folder that `path` starts from. Raises OSError and ForeignError.
    """
    status = os.stat(path, dir_fd=inside, follow_symlinks=False)  # first: opening a device can have an effect
    if stat.S_ISREG(status.st_mode):
        try:
            descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=inside)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENXIO}:
                raise
            status = os.stat(path, dir_fd=inside, follow_symlinks=False)
        else:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return descriptor
            os.close(descriptor)
    raise ForeignError(path, f"is {kind_of(status.st_mode)}, not a file")


def named(path: Path) -> IO[bytes]:
    """A file that the configuration names, for reading. It may be a symlink, but reading a pipe would wait for its
    writer. Raises OSError."""
    if (what := no_file(path.stat().st_mode)) is not None:  # first: opening a device can have an effect
        raise OSError(errno.EINVAL, f"it {what}", str(path))
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def no_file(mode: int) -> str | None:
    """The words about something of this mode that is not a file; None for a file."""
    return None if stat.S_ISREG(mode) else f"is {kind_of(mode)}, not a file"


def reading(path: Path | bytes, buffering: int = -1) -> IO[bytes]:
    """The same, as a file object for reading."""
    return os.fdopen(opened(path), "rb", buffering)


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a small regular file. Raises OSError, also for more than `most` bytes, and ForeignError."""
    content = bytearray()  # piece by piece: for one read of all, Python would allocate `most` bytes
    with reading(path) as file:
        while block := file.read(_PIECE):
            content += block
            if len(content) > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return bytes(content)


def own(path: Path, flags: int = os.O_RDWR, mode: int = 0o600) -> int:
    """A file of ours, to be changed in place, as a descriptor; with O_CREAT it is made if it is absent.

    It must be a regular file with one name that belongs to root or us. Raises OSError and ForeignError.
    """
    with folder(path.parent) as where:
        if flags & os.O_CREAT:
            try:
                return os.open(path.name, flags | _ANEW, mode, dir_fd=where)
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            flags &= ~os.O_CREAT
        try:
            descriptor = opened(Path(path.name), flags, inside=where)
        except ForeignError as error:
            raise ForeignError(path, error.what) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        try:
            status = os.fstat(descriptor)
            if status.st_nlink > 1:
                raise ForeignError(path, "has another name as well")
            if status.st_uid not in {0, os.geteuid()} and status.st_uid != _our_owner(where):
                raise ForeignError(path, f"belongs to the user {status.st_uid}")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _our_owner(where: int) -> int:
    """The owner of our files in this folder: FAT, exFAT and shares have only the owner that the mount was given."""
    name = f".{secrets.token_hex(8)}.new"
    descriptor = os.open(name, _ANEW, 0o600, dir_fd=where)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        os.unlink(name, dir_fd=where)


# --- files that are made


@contextmanager
def replacing(path: Path, mode: int = 0o600, *, alone: bool = False, inherited: bool = False) -> Iterator[int]:
    """A new file as a descriptor; it replaces whatever has the name `path` when the context ends without an error.

    `alone`: nobody else is making it. `inherited`: made by root, it belongs to the owner of the folder. Raises OSError
    and ForeignError.
    """
    with folder(path.parent) as where:
        try:
            _sweep(where, path.name, 0 if alone else _DEAD_SECONDS)
            name = f".{_short(path.name)}.{secrets.token_hex(8)}.new"
            descriptor = os.open(name, _ANEW, mode, dir_fd=where)
            try:
                try:
                    if inherited and os.geteuid() == 0:
                        above = os.fstat(where)
                        os.fchown(descriptor, above.st_uid, above.st_gid)
                    yield descriptor
                finally:
                    os.close(descriptor)
                os.rename(name, path.name, src_dir_fd=where, dst_dir_fd=where)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name, dir_fd=where)
                raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def replace(path: Path, content: bytes, mode: int = 0o600, *, inherited: bool = False) -> None:
    """Replace a small file: readers see the old or the new one, never half of it. See `replacing`."""
    with replacing(path, mode, inherited=inherited) as descriptor:
        write_all(descriptor, memoryview(content))


def anew(path: Path) -> IO[bytes]:
    """Replace a file in a folder where only we write; the new one is open for writing. Raises OSError.

    Only for a file that nobody reads before it is complete. If the name is a link, it is replaced, not followed.
    """
    try:
        descriptor = os.open(path, _ANEW, 0o666)
    except FileExistsError:
        path.unlink()
        descriptor = os.open(path, _ANEW, 0o666)
    return os.fdopen(descriptor, "wb")


def write(path: Path, content: bytes) -> None:
    """The same, with its whole content. Raises OSError."""
    with anew(path) as file:
        file.write(content)


def write_all(descriptor: int, data: memoryview, start: int | None = None) -> None:
    """Write all of it, however little the kernel accepts at once; at the file's position, or from `start` on."""
    while data:
        done = os.write(descriptor, data) if start is None else os.pwrite(descriptor, data, start)
        data = data[done:]
        start = None if start is None else start + done


def sweep(path: Path) -> None:
    """Remove what dead processes left of a file, while nobody is making it. Raises OSError and ForeignError."""
    with folder(path.parent) as where:
        _sweep(where, path.name, 0)


def _sweep(where: int, name: str, seconds: float) -> None:
    """Remove what a process left of this file if it was killed at least so many seconds ago."""
    left_over = re.compile(rf"\.{re.escape(_short(name))}\.[0-9a-f]{{16}}\.new")
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=where)
    try:
        with os.scandir(listed) as entries:
            names = [entry.name for entry in entries]
        for found in filter(left_over.fullmatch, names):
            with suppress(FileNotFoundError):
                made = os.stat(found, dir_fd=where, follow_symlinks=False).st_mtime
                if not seconds or time.time() - made > seconds:
                    os.unlink(found, dir_fd=where)
    finally:
        os.close(listed)


def _short(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:200])
