"""ZFS pools: made, imported, exported and verified to be gone, scrubbed, trimmed. Programs: zpool, modprobe.

A pool is imported with nothing mounted (-N) and without an entry in a cache file, so that neither this machine's boot
nor its zed touches it; only the given devices are searched. Never with -f: after a crash of ours, a pool that was not
exported opens without it on the machine (host id) that used it last; one that another machine used last may still be
open there, and two writers destroy a pool.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from snapmirror.errors import StorageError, StuckError
from snapmirror.process import Argument, Completed, ProgramFailed, run
from snapmirror.tools.undo import undone_by, wait_until

log = logging.getLogger("snapmirror.zfs")

_CONTROL = Path("/dev/zfs")
_MODULE = Path("/sys/module/zfs")  # the former may exist without it: systemd makes it if the module is installed
_EXPORT_SECONDS = 30.0  # it writes out what is in memory


class Health(Struct, frozen=True):
    """The result of `zpool status`: `state` is ONLINE when all is well, `errors` are sentences about damage."""

    state: str
    errors: tuple[str, ...]


def need_module() -> None:
    """Check that the kernel has ZFS. Raises StorageError if it does not."""
    if _MODULE.exists() and _CONTROL.exists():
        return
    with suppress(ProgramFailed):
        run(["modprobe", "zfs"])
    if not wait_until(lambda: _MODULE.exists() and _CONTROL.exists()):
        raise StorageError(
            "this kernel has no ZFS", hint="install zfs-dkms, or build the helper VM with ZFS; else use another backend"
        )


def zfs(argv: Sequence[Argument], what: str, *, hint: str = "", stdin: bytes | None = None) -> Completed:
    """Run zpool or zfs. Raises StorageError: "`what`: the reason"."""
    try:
        return run(argv, stdin=stdin)
    except ProgramFailed as failed:
        raise StorageError(f"{what}: {reason(failed)}", hint=hint) from failed


def reason(failed: ProgramFailed) -> str:
    """The first line that zpool or zfs printed; the lines after it are advice, -f included."""
    lines = [line.strip() for line in failed.completed.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0] if lines else failed.completed.complaint


def is_imported(pool: str) -> bool:
    """Whether the kernel has a pool of this name open."""
    if not _MODULE.exists():
        return False
    return pool in run(["zpool", "list", "-H", "-o", "name"]).text.splitlines()


def create(pool: str, layout: Sequence[str | Path], properties: Mapping[str, str]) -> None:
    """Make a pool on empty devices; it stays imported. ZFS itself refuses devices that hold something.

    `failmode` stays at wait: failed writes are kept, and written when the device is back. (On a full disk, which
    accepts some writes, continue hangs in the same way; on a dead one it would lose what programs had written.)
    """
    options = [word for name, value in properties.items() for word in ("-O", f"{name}={value}")]
    argv: list[Argument] = ["zpool", "create", "-o", "ashift=12", "-o", "cachefile=none", *options]
    hint = "it must be empty: ZFS names what it found; 'wipefs' clears a disk that you do not need any more"
    zfs([*argv, "-m", "none", pool, *layout], f"the pool {pool} cannot be made", hint=hint)
    log.info("made the pool %s on %s", pool, " ".join(map(str, layout)))


def destroy(pool: str) -> None:
    """Destroy a pool. Only for one that this run has made, or that a killed init has left."""
    zfs(["zpool", "destroy", pool], f"the pool {pool} cannot be removed")
    log.info("removed the pool %s", pool)


@contextmanager
def imported(pool: str, devices: Sequence[Path], *, read_only: bool = False) -> Iterator[None]:
    """Import the pool on these devices, which was not imported before; nothing of it is mounted."""
    with undone_by(lambda: export(pool)):
        import_(pool, devices, read_only=read_only)
        yield


def import_(pool: str, devices: Sequence[Path], *, read_only: bool = False) -> None:
    """Import a pool, searched for on these devices only."""
    places = [word for device in devices for place in _parts(device) for word in ("-d", place)]
    argv: list[Argument] = ["zpool", "import", "-N", "-o", "cachefile=none", *places]
    argv += ["-o", "readonly=on"] if read_only else []
    try:
        run([*argv, pool])
    except ProgramFailed as failed:
        raise StorageError(f"the pool {pool} cannot be opened: {reason(failed)}", hint=_hint(failed)) from failed
    log.info("imported the pool %s%s", pool, ", read-only" if read_only else "")


def _hint(failed: ProgramFailed) -> str:
    text = failed.completed.stderr
    if b"another system" in text or b"hostid" in text:
        return "if that machine is gone for good, open it once by hand: zpool import -f, then zpool export"
    if b"no such pool" in text:
        return "is it on these devices, and was it made there? 'zpool import -d DEVICE' shows what is"
    return "'zpool import' with the same devices says more"


def _parts(device: Path) -> list[Path]:
    """A disk, and its first partition: ZFS makes partitions if it is given a whole disk."""
    names = (device.name, f"{device.name}-part1", f"{device.name}p1", f"{device.name}1")
    return [place for name in names if (place := device.with_name(name)).exists()] or [device]


def export(pool: str) -> None:
    """Write everything out and release the devices. Raises StuckError if the pool stays open."""
    if not is_imported(pool):
        return
    complaint = ""

    def gone() -> bool:
        nonlocal complaint
        try:
            run(["zpool", "export", pool])
        except ProgramFailed as failed:
            complaint = reason(failed)
        return not is_imported(pool)

    if not wait_until(gone, _EXPORT_SECONDS):
        raise StuckError(
            f"the pool {pool} is still imported: {complaint}",
            hint="end what uses it ('zfs mount' and 'fuser' name it), then run 'snapmirror umount'",
        )
    log.info("exported the pool %s", pool)


def sync(pool: str) -> None:
    """Write everything so far to the devices."""
    zfs(["zpool", "sync", pool], f"the pool {pool} could not be written out", hint="'zpool status' and 'dmesg' say why")


def trim(pool: str) -> None:
    """Discard unused blocks on the devices, and wait for it."""
    zfs(["zpool", "trim", "-w", pool], f"the pool {pool} cannot be trimmed")


def scrub(pool: str) -> None:
    """Read every block in use and compare its checksum; ends when all is read. `health` gives the result."""
    zfs(["zpool", "scrub", "-w", pool], f"the pool {pool} cannot be scrubbed")


def health(pool: str) -> Health:
    """State and known damage of a pool."""
    text = zfs(["zpool", "status", "-v", "-p", pool], f"the pool {pool} cannot be looked at").text
    state = re.search(r"^ *state: (\w+)", text, re.MULTILINE)
    known = state[1] if state else "UNKNOWN"
    errors = [] if known == "ONLINE" else [f"the pool {pool} is {known}"]
    for name, *counts in re.findall(r"^\t *(\S+) +[A-Z]+ +(\d+) +(\d+) +(\d+)", text, re.MULTILINE):
        if any(int(count) for count in counts):
            errors.append("{}: {} read, {} write and {} checksum errors".format(name, *counts))
    verdict, _, files = text.partition("\nerrors: ")[2].partition("\n")
    if verdict and not verdict.startswith("No known data errors"):
        errors += [f"damaged: {line.strip()}" for line in files.splitlines() if line.strip()] or [verdict]
    return Health(known, tuple(errors))
