"""The file system in the image: making it, checking it before each mount, mounting it.

The check costs milliseconds after a clean night and reads everything only after an unclean one:

    xfs   the log's state is read; a dirty log is replayed by mounting once, then xfs_repair -n reads all metadata
          (before the replay it would report false damage)
    ext4  a dirty journal is replayed by mounting once, then e2fsck -p trusts the clean mark; errors that the kernel has
          noted make it read all. e2fsck must not replay: if the disk below is full it goes on, and the journal is lost;
          the kernel gives up, and keeps the journal
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.model import NOTICE
from snapmirror.storage import entrance
from snapmirror.storage.image import ImageRecord
from snapmirror.tools import filesystems, mount
from snapmirror.tools.undo import undone_by

log = logging.getLogger("snapmirror.filesystem")

# Files from a hostile server can do no harm on this machine; reading a snapshot writes no access times into it.
_OPTIONS = ["noatime", "nodev", "nosuid", "noexec"]
_NO_LINKS = "nosymfollow"
"""No path leads through a symlink of the store, whatever the owner of the image has put there. Not for browsing: dated
names are symlinks."""
_TUNING = {
    "xfs": ["logbsize=256k", "noquota"],  # fewer, larger writes to the log: our load is metadata
    "ext4": ["noinit_itable", "errors=remount-ro"],  # init_itable would fill gigabytes of the image with zeros
}
SMALLEST_BYTES = {
    "xfs": 320 << 20,
    "ext4": 48 << 20,
    "zfs": 256 << 20,
}  # mkfs.xfs needs 300 MB, a LUKS2 header takes 16


def make(device: Path, record: ImageRecord, private: Path) -> None:
    """Make the file system on the empty image. `private` is a folder for root only, to mount it on."""
    if record.filesystem == "xfs":
        filesystems.make_xfs(device, record.id)
    else:
        filesystems.make_ext4(device, record.id, record.size)
    with _aside(device, record, private):
        entrance.close(private)
    log.info("made the %s", record.filesystem)


def check(device: Path, record: ImageRecord, private: Path) -> None:
    """Make sure that the file system is the right one, clean and undamaged. `private`: as in `make`."""
    _identify(device, record)
    if record.filesystem == "ext4":
        if not filesystems.ext4_is_clean(device):
            log.log(NOTICE, "the store was not closed properly: replaying its journal")
            _replay(device, record, private)
        filesystems.check_ext4(device)
    elif not filesystems.xfs_is_clean(device):
        log.log(NOTICE, "the store was not closed properly: replaying its log and checking all of it")
        _replay(device, record, private)
        filesystems.check_xfs(device)


def is_whole(device: Path, record: ImageRecord) -> bool:
    """Check without a write that the file system is the right one, clean and undamaged; False: replay it first.

    Raises StorageError when it is another one, or damaged.
    """
    _identify(device, record)
    if record.filesystem == "ext4":
        if not filesystems.ext4_is_clean(device):
            return False
        filesystems.check_ext4(device, mend=False)
        return True
    return filesystems.xfs_is_clean(device)


def _identify(device: Path, record: ImageRecord) -> None:
    kind, uuid = filesystems.identity(device)
    if (kind, uuid) != (record.filesystem, record.id):
        raise StorageError(
            f"the image does not hold the {record.filesystem} that was made in it, but {kind or 'nothing known'}",
            hint="another image was put in its place, or its start is damaged",
        )


def check_thoroughly(device: Path, record: ImageRecord) -> None:
    """Read all metadata of the unmounted file system."""
    if record.filesystem == "ext4":
        filesystems.check_ext4(device, thoroughly=True)
    else:
        filesystems.check_xfs(device)


@contextmanager
def mounted(
    device: Path,
    target: Path,
    record: ImageRecord,
    private: Path,
    *,
    read_only: bool = False,
    mode: int = entrance.CLOSED,
) -> Iterator[Path]:
    """Mount the checked file system on `target`; flush it before the unmount, so that no failed write goes unnoticed.

    `mode` is that of its root. It is set before anybody can enter: the file system is first mounted on `private`, for
    root only, because a user who had been inside for a moment would keep the files that he has opened there.
    """

    def release() -> None:
        while any(m.target == target.resolve() for m in mount.mounts_of(device)):
            mount.umount(target)

    with undone_by(release):
        with _aside(device, record, private, read_only=read_only, mode=mode) as inside:
            mount.bind(inside, target)
        log.info("mounted %s on %s (%s)", device, target, ",".join(_options(record, read_only=read_only)))
        yield target
        if not read_only:
            filesystems.flush(target)


@contextmanager
def shown(device: Path, record: ImageRecord, private: Path) -> Iterator[Path]:
    """Mount the file system, which `is_whole`, for reading where only root may enter, whatever the mode of its root."""
    with _aside(device, record, private, read_only=True) as inside:
        yield inside


def _options(record: ImageRecord, *, read_only: bool) -> list[str]:
    return [*(["ro"] if read_only else ["rw", _NO_LINKS]), *_OPTIONS, *_TUNING[record.filesystem]]


@contextmanager
def _aside(
    device: Path, record: ImageRecord, private: Path, *, read_only: bool = False, mode: int | None = None
) -> Iterator[Path]:
    """Mount the file system on a folder for root only. Its root gets this mode, if one is given."""
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = _options(record, read_only=read_only)
    try:
        with _mounted(device, private, record, options):
            if mode is None or entrance.is_closed(private, mode):
                yield private
                return
            if not read_only:
                before = private.stat()
                entrance.close(private, mode)
                if mode == entrance.CLOSED:
                    # `mount --readable` leaves this mode, and so did older versions
                    entrance.tell_closed(before, harmless=before.st_mode & 0o777 == entrance.READABLE)
                yield private
                return
        with _aside(device, record, private, mode=mode):
            pass  # to be changed it must be writable for a moment
        with _aside(device, record, private, read_only=True):
            yield private
    finally:
        with suppress(OSError):
            private.rmdir()
            private.parent.rmdir()


@contextmanager
def _mounted(device: Path, target: Path, record: ImageRecord, options: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(mount.mounted(device, target, filesystem=record.filesystem, options=options))
        except StorageError as error:
            if (other := _twin(device, record)) is None:
                raise
            raise StorageError(
                f"the image, or a copy of it, is open already as {other.source}, mounted on {other.target}",
                hint=f"close it: {_closing(other)}",
            ) from error
        yield


def _twin(device: Path, record: ImageRecord) -> mount.Mount | None:
    """The mount of the same file system from another device, by hand: XFS cannot be mounted twice."""
    ours = mount.device_number(device)
    for other in mount.mounts():
        is_one = other.filesystem == record.filesystem and other.source.startswith("/dev/")
        if is_one and other.device_number != ours and filesystems.identity(Path(other.source))[1] == record.id:
            return other
    return None


def _closing(other: mount.Mount) -> str:
    """The commands that end such a mount, and close what lies below it."""
    source, words = Path(other.source), f"umount {other.target}"
    if source.parent == Path("/dev/mapper"):
        return f"{words}; cryptsetup close {source.name}"
    return f"{words}; losetup --detach {source}" if source.name.startswith("loop") else words


def _replay(device: Path, record: ImageRecord, private: Path) -> None:
    with _aside(device, record, private):
        pass
