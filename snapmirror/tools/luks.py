"""LUKS headers and mappings. Programs: cryptsetup, dmsetup.

Everything but opening a mapping works on a plain file, without root and without the kernel's device mapper. The key
always goes through stdin.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snapmirror import files
from snapmirror.errors import StorageError, StuckError, UsageError
from snapmirror.process import ProgramFailed, run
from snapmirror.tools.undo import KERNEL_SECONDS, undone_by, wait_until

log = logging.getLogger("snapmirror.luks")

_WRONG_KEY = 2  # cryptsetup's exit code

HEADER_1_BYTES = 4 << 20  # no LUKS1 header is longer: cryptsetup puts the content at 2 MiB, other tools at 1 or less

SECTOR_BYTES = 4096  # of LUKS2: an eighth of the cipher calls; both file systems write 4 KiB blocks

# The cost of one guess is fixed instead of measured: measuring takes 2 to 7 seconds, and its result depends on how
# busy the machine is. Both lie above OWASP's 2023 advice. 256 MiB, because the helper VM must open it with 768 MB.
_FORMAT = {
    1: ["--type", "luks1", "--hash", "sha256", "--pbkdf-force-iterations", "1000000"],
    2: [
        *("--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "262144"),
        *("--sector-size", str(SECTOR_BYTES)),
    ],
}
# aes-xts is what QEMU's LUKS driver, the kernel and the processors' AES instructions have in common.
CIPHER = "aes-xts-plain64"
KEY_BYTES = 64
_CIPHER = ["--cipher", CIPHER, "--key-size", str(8 * KEY_BYTES)]


def write_header(file: Path, *, version: int, key: bytes, uuid: str) -> None:
    """Make `file` a LUKS container: a header of some MB at its start, nothing else is written."""
    argv = ["cryptsetup", "--batch-mode", "luksFormat", *_FORMAT[version], *_CIPHER, "--uuid", uuid, "--key-file=-"]
    try:
        run([*argv, file], stdin=key)
    except ProgramFailed as failed:
        raise StorageError(f"{file} cannot be encrypted: {failed.completed.complaint}") from failed


def header_uuid(file: Path, *, version: int | None = None) -> str | None:
    """The UUID in the LUKS header of `file`; None if it has no header, or none of this version."""
    try:
        run(["cryptsetup", "isLuks", "--type", f"luks{version or ''}", file])
        return run(["cryptsetup", "luksUUID", file]).text
    except ProgramFailed:
        return None


def key_fits(file: Path, key: bytes) -> bool:
    """Whether the key opens the container. Tests it without opening anything, so it works everywhere."""
    try:
        run(["cryptsetup", "open", "--test-passphrase", "--key-file=-", file], stdin=key)
    except ProgramFailed as failed:
        if failed.completed.exit_code == _WRONG_KEY:
            return False
        raise StorageError(f"{file} cannot be read as LUKS: {failed.completed.complaint}") from failed
    return True


def backup_header(file: Path, target: Path) -> None:
    """Copy the LUKS header with its key slots to `target`, which must not exist; readable by its owner only."""
    try:
        run(["cryptsetup", "luksHeaderBackup", file, "--header-backup-file", target])
    except ProgramFailed as failed:
        raise StorageError(
            f"the LUKS header cannot be copied to {target}: {failed.completed.complaint}",
            hint="set header_backup in [image] to a place that exists",
        ) from failed
    descriptor = files.opened(target)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def kernel_has_dm_crypt() -> bool:
    """Whether this kernel can open LUKS by itself. This also loads the modules, if there are any."""
    try:  # the device node exists also on kernels without device mapper
        os.close(os.open("/dev/mapper/control", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    try:
        return bool(run(["dmsetup", "target-version", "crypt"]).text)
    except ProgramFailed:
        return False
    except UsageError:  # no dmsetup: let cryptsetup find out
        return True


@contextmanager
def unlocked(device: Path, name: str, key: bytes, header: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Open the LUKS container on `device` as /dev/mapper/<name> with a copy of its header: its own is not read."""
    with undone_by(lambda: lock(name)):
        # Discards show anyone who can read the image which blocks are unused; in return it shrinks when files expire.
        argv = ["cryptsetup", "open", "--type", "luks", "--allow-discards", "--key-file=-"]
        try:
            run([*argv, *(["--readonly"] * read_only), "--header", header, device, name], stdin=key)
        except ProgramFailed as failed:
            if failed.completed.exit_code == _WRONG_KEY:
                raise wrong_key(device) from failed
            raise StorageError(f"{device} cannot be opened: {failed.completed.complaint}") from failed
        log.info("unlocked %s as %s", device, name)
        yield mapping(name)


def wrong_key(what: Path) -> StorageError:
    """The error for every place where a key is refused."""
    return StorageError(
        f"the key does not open {what}",
        hint="check key_file or key_command in [image]: every byte counts, also a line end at the end",
    )


def mapping(name: str) -> Path:
    """The device of a mapping of this name."""
    return Path("/dev/mapper", name)


def is_unlocked(name: str) -> bool:
    """Whether the kernel has a mapping of this name."""
    for file in Path("/sys/block").glob("dm-*/dm/name"):
        with suppress(OSError):
            if file.read_text().strip() == name:
                return True
    return False


def lock(name: str) -> None:
    """Close the mapping, if it exists, and check that it is gone."""
    if not is_unlocked(name):
        return
    complaint = ""

    def gone() -> bool:
        nonlocal complaint
        try:
            run(["cryptsetup", "close", name])
        except ProgramFailed as failed:
            complaint = failed.completed.complaint
        return not is_unlocked(name)

    if not wait_until(gone, KERNEL_SECONDS):
        raise StuckError(f"the mapping {name} is still open: {complaint}", hint="'dmsetup info' shows its users")
    log.info("locked %s", name)
