"""The key, the LUKS header, and the block device with the decrypted content of the image.

Three stacks, chosen by the kernel's capabilities:

    none                    image > loop, direct I/O
    luks1, luks2            image > loop, direct I/O > dm-crypt
    luks1 without dm-crypt  image > qemu-storage-daemon > loop, buffered I/O
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from snapmirror import environment, files, lockfile
from snapmirror.config import ImageConfig
from snapmirror.errors import StorageError
from snapmirror.process import ProgramFailed, run
from snapmirror.storage import known_header
from snapmirror.storage.image import ImageRecord, on_share
from snapmirror.storage.known_header import Copies
from snapmirror.tools import loop, luks, qsd
from snapmirror.tools.mount import mounts

log = logging.getLogger("snapmirror.encryption")

RUNTIME_FOLDER = Path("/run/snapmirror")
_NEW_KEY = "make one with: (umask 077; openssl rand -base64 48 > FILE)"
How = Literal["none", "dm-crypt", "qemu-storage-daemon"]


class Places(Struct, frozen=True):
    """Names derived from the image alone, so that any later process finds what an earlier one left."""

    image: Path

    @property
    def _mark(self) -> str:
        return hashlib.sha256(os.fsencode(self.image.resolve())).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """The folder of this image's files while it is open; root only."""
        return RUNTIME_FOLDER / self._mark

    @property
    def export(self) -> Path:
        """The decrypted content, exported by qemu-storage-daemon."""
        return self.folder / "decrypted"

    @property
    def private(self) -> Path:
        """The folder where a file system is mounted briefly, for root only."""
        return self.folder / "private"

    @property
    def mapping(self) -> str:
        """Name of the dm-crypt mapping."""
        return f"snapmirror-{self._mark}"


class BlockDevice(Struct, frozen=True):
    """The opened image as a block device."""

    device: Path
    loop_name: str  # its counters show what was really read and written
    how: How

    @property
    def gives_back_space(self) -> bool:
        """Whether trimmed blocks become holes in the image. QEMU's LUKS driver accepts discards and ignores them."""
        return self.how != "qemu-storage-daemon"


def read_key(config: ImageConfig) -> bytes | None:
    """The key from its file (every byte of it) or its command (without the last line end); None without encryption."""
    return None if config.encryption == "none" else read_secret(config.key_file, config.key_command)


def read_secret(key_file: Path | None, key_command: tuple[str, ...] | None) -> bytes:
    """A key, or a passphrase, from the configured file or command. Raises StorageError when there is none."""
    if key_file is not None:
        key = _read_key_file(key_file)
    else:
        words = key_command or ()
        try:
            key = run(words, env=environment.whole()).stdout
        except ProgramFailed as failed:
            raise StorageError(
                f"key_command {words[0]} failed: {failed.completed.complaint}", hint="run it by hand to see why"
            ) from failed
        key = key.removesuffix(b"\n").removesuffix(b"\r")
    if not key:
        raise StorageError(f"the key is empty ({key_file or 'key_command'})", hint=_NEW_KEY)
    return key


def _read_key_file(file: Path) -> bytes:
    try:
        with files.named(file) as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                _warn_of_readers(file)
            return opened.read()
    except FileNotFoundError:
        hint = f"put it back from your copy of it; for a new store {_NEW_KEY}"
        raise StorageError(f"the key file {file} is missing", hint=hint) from None
    except OSError as error:
        raise StorageError(f"the key file {file} cannot be read: {error.strerror}") from error


@cache  # once a run, however often the store is opened in it
def _warn_of_readers(file: Path) -> None:
    log.warning("the key file %s can be read by others; mend it with: chmod 600 %s", file, file)


def choose(encryption: str) -> How:
    """The method that opens this kind of encryption on this machine. Raises StorageError when there is none."""
    if encryption == "none":
        return "none"
    if luks.kernel_has_dm_crypt():
        return "dm-crypt"
    if encryption == "luks2":
        raise StorageError(
            "luks2 needs dm-crypt, which this kernel does not have",
            hint='encryption = "luks1" works here, through qemu-storage-daemon',
        )
    if not qsd.is_installed():
        raise StorageError(
            "this kernel has no dm-crypt, and qemu-storage-daemon is not installed",
            hint="install qemu-system-common and qemu-utils",
        )
    return "qemu-storage-daemon"


def check_new_key(encryption: str, key: bytes | None) -> None:
    """Refuse a key that would not work everywhere, before anything is made."""
    if encryption != "luks1" or key is None:
        return
    try:
        usable = b"\0" not in key and bool(key.decode())
    except UnicodeDecodeError:
        usable = False
    if not usable:
        raise StorageError("a luks1 key must be text, else qemu-storage-daemon cannot use it", hint=_NEW_KEY)


def encrypt(image: Path, record: ImageRecord, key: bytes, header_backup: Path) -> None:
    """Write the LUKS header into the new image, and a copy of it to `header_backup`."""
    with _as_device(image) as device:
        luks.write_header(device, version=_version(record), key=key, uuid=record.id)
    luks.backup_header(image, header_backup)
    log.info("encrypted %s with %s, header copied to %s", image, record.encryption, header_backup)


@contextmanager
def _as_device(image: Path) -> Iterator[Path]:
    """The device or file to write a header into. On a share not the file itself: cryptsetup locks a file that it writes
    to, and a server enforces that lock against cryptsetup's own second descriptor."""
    if not on_share(image):
        yield image
        return
    with loop.attached(image) as device:
        yield device.device


@contextmanager
def opened(
    image: Path, record: ImageRecord, key: bytes | None, copies: Copies, *, read_only: bool = False
) -> Iterator[BlockDevice]:
    """Open the image as a block device with its decrypted content; its header must be the known one."""
    how = choose(record.encryption)
    places = Places(image)
    lockfile.private_folder(RUNTIME_FOLDER)
    with ExitStack() as stack:
        if how == "none" or key is None:
            device = stack.enter_context(loop.attached(image, read_only=read_only))
            yield BlockDevice(device.device, device.name, how)
            return
        with known_header.local(image, record, copies) as header:
            if how == "dm-crypt":
                device = stack.enter_context(loop.attached(image, read_only=read_only))
                mapping = luks.unlocked(device.device, places.mapping, key, header.path, read_only=read_only)
                block = stack.enter_context(mapping)
            else:
                export = stack.enter_context(qsd.exported(image, places.export, key, read_only=read_only))
                header.check(image)  # QEMU can only use the image's own header
                device = stack.enter_context(loop.attached(export, read_only=read_only))
                block = device.device
            header.accept()
        yield BlockDevice(block, device.name, how)


def refuse_others(image: Path, *, by_daemon: bool) -> None:
    """Raises StorageError when the image was opened by hand, and is still open; `by_daemon`: perhaps by QEMU's daemon,
    over which a second one would write."""
    places = Places(image)
    for device in loop.attached_to(image):
        for name in device.mappings():
            if name != places.mapping:
                raise _opened_by_hand(image, luks.mapping(name), f"cryptsetup close {name}")
    for daemon in qsd.others(image, places.export) if by_daemon else ():
        end = f"kill {daemon.pid}"
        for device in (one for export in daemon.exports for one in loop.attached_to(export)):
            raise _opened_by_hand(image, device.device, f"losetup --detach {device.device}; {end}")
        raise StorageError(
            f"{image} is open already with {qsd.PROGRAM} (pid {daemon.pid})",
            hint=f"close it: umount what it exports; {end}",
        )


def _opened_by_hand(image: Path, device: Path, closing: str) -> StorageError:
    places = [str(mount.target) for mount in mounts() if mount.source == str(device)]
    where = f", mounted on {' and '.join(places)}" if places else ""
    steps = [*(f"umount {place}" for place in reversed(places)), closing]
    return StorageError(f"{image} is open already as {device}{where}", hint=f"close it: {'; '.join(steps)}")


def release(image: Path) -> None:
    """Remove everything that `opened` may have left, for every stack."""
    places = Places(image)
    luks.lock(places.mapping)
    loop.detach_all(places.export)
    qsd.end(places.export)
    loop.detach_all(image)


def _version(record: ImageRecord) -> int:
    return 2 if record.encryption == "luks2" else 1
