"""The kernel's SMB client: mounts a share and explains refusals in a sentence. Programs: mount.cifs, modprobe.

The password stands in the credentials file only, which mount.cifs reads by itself. What the kernel negotiated is read
back from its own tables: if it ignored an option, the promise behind that option would not hold.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from snapmirror import files
from snapmirror.errors import StorageError, UsageError
from snapmirror.process import Completed, ProgramFailed, ProgramTimeout, run
from snapmirror.tools import smb
from snapmirror.tools.extents import extents
from snapmirror.tools.mount import mount_at

PROGRAM = "mount.cifs"
_DEBUG_DATA = Path("/proc/fs/cifs/DebugData")
_FILESYSTEMS = Path("/proc/filesystems")
# The kernel gives up connecting after 5 to 22 seconds, whatever makes a server unreachable (measured); this is for
# everything else.
_TIMEOUT_SECONDS = 90.0
_SPARSE = 0x200  # FILE_ATTRIBUTE_SPARSE_FILE
FILESYSTEMS = ("cifs", "smb3")  # two names of one thing

_OPTIONS = (
    "vers=3.1.1",  # nothing older: its negotiation is protected against a downgrade of the encryption
    "seal",  # encrypts every byte on the wire; refuses a server that cannot
    "hard",  # writes wait for an absent server; the default, soft, fails them after 10 s, and the file system with them
    "nosharesock",  # a connection of our own: sharing one with a soft mount of the same share would make ours soft
    "nolease",  # no caching to revoke: a lock reaches the server when it is taken, not some time later
    "closetimeo=0",  # closed is closed on Windows too, which may copy the image right then; the default is 1 s
    "echo_interval=20",  # probe a silent server every 20 s, reconnect after 60; by default that takes 3 minutes
    "uid=0", "forceuid", "gid=0", "forcegid", "file_mode=0600", "dir_mode=0700",  # on this side only root has access
    "nodev", "nosuid", "noexec",  # files that Windows puts there have no effect here
)  # fmt: skip
# Left out on purpose: nostrictsync (would drop flushes), nobrl (would drop locks), persistenthandles and posix
# (ordinary servers refuse them), cache=none (direct I/O on the loop bypasses the cache by itself).
_MUST_HOLD = ("vers=3.1.1", "seal", "hard")

_AWAY = {
    errno.ECONNREFUSED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EINPROGRESS, errno.ETIMEDOUT, errno.ENETUNREACH,
    errno.ECONNRESET, errno.ECONNABORTED,
}  # fmt: skip


class Place(Struct, frozen=True):
    """A share as its UNC names it: //host/share/folder, on this port."""

    unc: str
    port: int

    @property
    def host(self) -> str:
        """The server."""
        return self.unc.split("/")[2]

    @property
    def share(self) -> str:
        """The share's own name, without a folder on it."""
        return self.unc.split("/")[3]


def mount(place: Place, target: Path, credentials: Path) -> None:
    """Mount the share on a folder, with our options or not at all."""
    check_credentials(credentials)
    options = ",".join((f"credentials={credentials}", f"port={place.port}", *_OPTIONS))
    try:
        run([PROGRAM, place.unc, target, "-o", options], timeout=_TIMEOUT_SECONDS)
    except ProgramTimeout as error:
        raise smb.away(f"{place.host} port {place.port}") from error
    except ProgramFailed as failed:
        raise _refused(place, failed.completed) from failed


def check_mounted(place: Place, target: Path) -> None:
    """The mount on `target` is this share, with the options that our promises rest on."""
    found = mount_at(target)
    if found is None or found.filesystem not in FILESYSTEMS or found.source.casefold() != place.unc.casefold():
        what = f"{found.filesystem} ({found.source})" if found else "nothing"
        raise StorageError(
            f"{target} is not a mount of {place.unc}: {what} is mounted there",
            hint="umount that, or change mount_point",
        )
    missing = [option for option in _MUST_HOLD if option not in found.options]
    if missing:
        raise StorageError(
            f"{place.unc} is mounted on {target} without {', '.join(missing)}",
            hint=f"umount {target}; snapmirror then mounts it with them",
        )


def check_credentials(file: Path) -> None:
    """The file exists, is private and complete: mount.cifs would ask the terminal for a missing password."""
    try:
        with files.named(file) as opened:
            mode, text = os.fstat(opened.fileno()).st_mode, opened.read().decode(errors="replace")
    except FileNotFoundError:
        raise StorageError(
            f"the credentials file {file} is missing", hint="make it with the lines username=… and password=…, mode 600"
        ) from None
    except OSError as error:
        raise StorageError(f"the credentials file {file} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise StorageError(f"the credentials file {file} can be read by others", hint=f"chmod 600 {file}")
    if text.startswith("\ufeff"):
        sentence, mend = files.byte_order_mark(f"the credentials file {file}", file)
        raise StorageError(sentence, hint=mend)
    keys = {line.partition("=")[0].strip() for line in text.splitlines() if "=" in line}
    for names in (("username", "user"), ("password", "pass")):
        if not keys & set(names):
            raise StorageError(
                f"the credentials file {file} has no line {names[0]}=…",
                hint="it takes the lines username=…, password=… and, in a domain, domain=…",
            )


def kernel_has_cifs() -> bool:
    """Whether this kernel can mount SMB shares. This also loads the module, if there is one."""
    if _is_known():
        return True
    try:
        run(["modprobe", "--quiet", "cifs"])
    except (ProgramFailed, UsageError):
        return False
    return _is_known()


class Connection(Struct, frozen=True):
    """What the kernel has negotiated for a mounted share."""

    dialect: str
    encrypted: bool


def connection(place: Place) -> Connection | None:
    """How the mounted share is connected; None if the kernel's table does not show it."""
    try:
        table = _DEBUG_DATA.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name = re.escape(f"\\\\{place.host}\\{place.share}")
    for server in re.split(r"(?m)^\d+\) ConnectionId:", table)[1:]:
        dialect = re.search(r"Dialect 0x(\w)(\w)(\w)", server)
        share = re.search(rf"(?mi)^\s*\d+\) {name} Mounts:.*\n.*", server)
        if dialect and share:
            return Connection(".".join(dialect.groups()), "Encrypted" in share[0])
    return None


def is_sparse(file: Path) -> bool | None:
    """Whether a file on a mounted share carries Windows' sparse flag; None if the server does not report it.

    st_blocks is useless here: the client counts a sparse file as if it were full.
    """
    try:
        return bool(int.from_bytes(os.getxattr(file, "user.cifs.dosattrib"), "little") & _SPARSE)
    except OSError:
        return None


def allocated_bytes(file: Path) -> int | None:
    """How much a sparse file on a mounted share takes, by the ranges that the server lists; None if it lists none."""
    try:
        with file.open("rb") as opened:
            return sum(end - start for start, end in allocated_ranges(opened.fileno()))
    except OSError:
        return None


def allocated_ranges(descriptor: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """The ranges of an open file that the server has space for: (start, end). Raises OSError if it does not list them.

    By FIEMAP: over Samba, the client's SEEK_DATA is an I/O error for a file with more than one range (Linux 6.1).
    """
    for at, length, _ in extents(descriptor, start):
        yield at, at + length


def _is_known() -> bool:
    return any(line.split()[-1:] == ["cifs"] for line in _FILESYSTEMS.read_text().splitlines())


def _refused(place: Place, completed: Completed) -> StorageError:
    text = completed.stderr.decode("utf-8", "replace")
    where, found = f"{place.host} port {place.port}", re.findall(r"mount error\((\d+)\)", text)
    number = int(found[-1]) if found else 0
    if "could not resolve address" in text:
        return smb.unknown_host(place.host)
    if number in _AWAY:
        return smb.away(where)
    if number == errno.ENODEV or "not supported by the system" in text:
        return StorageError(
            "this kernel cannot mount SMB shares: it has no cifs", hint="use a kernel that has; Debian's have"
        )
    if number == errno.EOPNOTSUPP:
        return _too_little(place)
    if number in (errno.EACCES, errno.EPERM):
        return StorageError(
            f"the server refuses the name or the password for {place.unc}",
            hint="check username, password and domain in the credentials file, and the rights on share and folder",
        )
    if number in (errno.ENOENT, errno.ENXIO):
        return StorageError(
            f"{place.host} has no share or folder {place.unc}", hint="'net share' on the server lists what there is"
        )
    return StorageError(
        f"{place.unc} cannot be mounted: {text.strip().splitlines()[0] if text.strip() else completed.complaint}",
        hint="the kernel's log (dmesg) says why",
    )


def _too_little(place: Place) -> StorageError:
    """The kernel reports the same for a server that is too old and for one that does not encrypt: query the server."""
    server = smb.ask(place.host, place.port)
    if not server.is_new_enough:
        return StorageError(
            f"{place.host} speaks SMB {server.dialect} at most, 3.1.1 is needed",
            hint="Windows 10, Server 2016 or later have it",
        )
    if not server.encrypts:
        return StorageError(
            f"{place.host} does not encrypt SMB", hint="on Windows: Set-SmbServerConfiguration -EncryptData $true"
        )
    return StorageError(
        f"{place.host} refuses an option that {place.unc} must be mounted with",
        hint="the kernel's log (dmesg) names it; on Windows: Set-SmbShare -EncryptData $true",
    )
