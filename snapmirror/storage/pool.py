"""The ZFS pool of a store: in the image, on disks of its own, or a dataset in a pool of somebody else.

Runs no program itself. These datasets belong to snapmirror:

    <pool or dataset>/store            mounted at store.path: manifests, dated names
    <pool or dataset>/store/<mirror>   mounted below it at <mirror>/current: the tree of the last night, its snapshots

Their mountpoint is legacy, so that nobody but this module mounts them. `org.snapmirror:id`, set locally on the first of
them, says that snapmirror has made it; without that property nothing is used, changed or destroyed, and in a pool of
somebody else only these datasets are. A store becomes `org.snapmirror:ready` after the self-test of init.
"""

from __future__ import annotations

import logging
import stat
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror import files
from snapmirror.config import ZfsConfig
from snapmirror.errors import StorageError
from snapmirror.storage import encryption, entrance, locks
from snapmirror.storage.locks import Rank
from snapmirror.tools import zfs, zpool
from snapmirror.tools.mount import mount_at
from snapmirror.tools.undo import undone_by

log = logging.getLogger("snapmirror.pool")

IDENTITY = "org.snapmirror:id"
READY = "org.snapmirror:ready"
MIRROR = "org.snapmirror:mirror"
CURRENT = "current"

# Files from a hostile server can do no harm on this machine; reading a snapshot writes no access times into it.
OPTIONS = ("noatime", "nodev", "nosuid", "noexec")
# Of a mirror dataset's root. A user who may enter it can make the kernel mount any snapshot, without these options.
_MODE = 0o700
_PROPERTIES = {
    "mountpoint": "legacy",
    "atime": "off",
    "acltype": "posixacl",  # ZFS stores no ACLs by default
    "xattr": "sa",  # in the inode instead of a hidden folder for each file
    "dnodesize": "auto",
    "normalization": "none",  # names are bytes
    "snapdir": "hidden",
}
_CIPHER = {"encryption": "aes-256-gcm", "keyformat": "passphrase", "keylocation": "prompt"}
_PASSPHRASE = range(8, 513)


class Place(Struct, frozen=True):
    """The place of a store's datasets. `device` has the content of the image, `id` is the image's."""

    settings: ZfsConfig
    path: Path
    device: Path | None = None
    id: str | None = None

    @property
    def pool(self) -> str:
        """The pool."""
        return (self.settings.dataset or self.settings.pool).partition("/")[0]

    @property
    def base(self) -> str:
        """The dataset that is mounted at the store's path."""
        return f"{self.settings.dataset or self.settings.pool}/store"

    @property
    def is_ours(self) -> bool:
        """Whether the pool is snapmirror's own, to be imported and exported."""
        return self.settings.dataset is None

    @property
    def devices(self) -> list[Path]:
        """The devices of a pool of our own."""
        return [self.device] if self.device is not None else list(self.settings.devices)

    @property
    def layout(self) -> list[str | Path]:
        """The devices as arguments of `zpool create`."""
        several = self.settings.layout not in (None, "stripe") and len(self.devices) > 1
        return [*([str(self.settings.layout)] if several else []), *self.devices]


@contextmanager
def standing(place: Place, *, read_only: bool = False, proved: bool = True) -> Iterator[None]:
    """Mount the store's datasets: pool, key, mounts, in this order. `proved`: init must have marked it as ready."""
    zpool.need_module()
    with ExitStack() as stack:
        if place.is_ours:
            _refuse_stranger(place)
            stack.enter_context(zpool.imported(place.pool, place.devices, read_only=read_only))
        elif not zpool.is_imported(place.pool):
            raise StorageError(f"the pool {place.pool} is not imported", hint=f"zpool import {place.pool}")
        _check(place, proved=proved)
        if (key := read_passphrase(place.settings)) is not None:
            _check_cipher(place, place.base)
            stack.enter_context(zfs.unlocked(place.base, key))
        with undone_by(lambda: zfs.umount_all(place.base)):
            entrance.check_way(place.path)
            place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _mount(place.base, place.path, read_only=read_only)
            if not read_only:  # before mirrors' datasets are below it; their own roots are closed
                _close(place.path)
            for dataset, name in _mirrors(place):
                if key is not None:
                    _check_cipher(place, dataset)
                for folder in (place.path / name, place.path / name / CURRENT):
                    files.folder_status(folder)  # it must not be a symlink
                _mount(dataset, place.path / name / CURRENT, read_only=read_only)
            yield
            if not read_only:
                zpool.sync(place.pool)


def add_mirror(base: str, path: Path, name: str) -> None:
    """Make the dataset of a new mirror and mount it; it is unmounted with the others."""
    dataset = f"{base}/{name}"
    if not zfs.exists(dataset):
        zfs.create(dataset, {MIRROR: name})
    elif zfs.local_property(dataset, MIRROR) != name:
        raise StorageError(
            f"snapmirror did not make the dataset {dataset}, and leaves it alone",
            hint="call the mirror otherwise, or rename that dataset with 'zfs rename'",
        )
    target = path / name / CURRENT
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mount_at(target) is None:
        _mount(dataset, target, read_only=False)
    if stat.S_IMODE(target.stat().st_mode) != _MODE:  # (a needless change would make the next night search for changes)
        target.chmod(_MODE)


def show_snapshots(place: Place) -> None:
    """Mount the snapshots of an open store, for browsing."""
    for dataset, name in _mirrors(place):
        for one in zfs.snapshots(dataset):
            target = place.path / name / CURRENT / ".zfs" / "snapshot" / one.name
            zfs.mount_snapshot(dataset, one.name, target, OPTIONS)


def _mirrors(place: Place) -> Iterator[tuple[str, str]]:
    """The datasets of mirrors, with the mirrors' names: one that was renamed by hand is no longer ours."""
    for dataset in zfs.children(place.base):
        name = dataset.rpartition("/")[2]
        if zfs.local_property(dataset, MIRROR) == name:
            yield dataset, name


def _check_cipher(place: Place, dataset: str) -> None:
    """Make sure that a dataset of a store with a key is encrypted as init does it, with the store's key.

    An attacker with access to the devices can replace it: the night would write everything to it unencrypted.
    """
    found = zfs.value(dataset, "encryption"), zfs.value(dataset, "encryptionroot")
    if found != (_CIPHER["encryption"], place.base):
        is_in_clear = found[0] == "off"
        raise StorageError(
            f"{dataset} is {'not encrypted' if is_in_clear else 'encrypted otherwise'}, unlike what init makes",
            hint="somebody has put it there: nothing was written to it",
        )


def _close(root: Path) -> None:
    if not entrance.is_closed(root):
        before, is_new = root.stat(), not any(root.iterdir())
        entrance.close(root)
        if not is_new:
            entrance.tell_closed(before)


def _mount(dataset: str, target: Path, *, read_only: bool) -> None:
    zfs.mount(dataset, target, ["ro" if read_only else "rw", *OPTIONS])


def _check(place: Place, *, proved: bool) -> None:
    """Check that the store is there, is the right one, complete and healthy."""
    if not zfs.exists(place.base):
        raise StorageError(f"there is no store in {place.base.rpartition('/')[0]}", hint="'snapmirror init' makes one")
    found = zfs.local_property(place.base, IDENTITY)
    if found is None:
        raise _foreign(place)
    if place.id is not None and found != place.id:
        raise StorageError(
            f"the image does not hold the pool {place.pool} that was made in it, but another store's",
            hint="another image was put in its place",
        )
    if proved and place.id is None and zfs.local_property(place.base, READY) is None:
        raise StorageError(f"{place.base} was never finished: its init was stopped", hint="run 'snapmirror init' again")
    for problem in zpool.health(place.pool).errors:
        log.warning("%s", problem)


def _foreign(place: Place) -> StorageError:
    return StorageError(
        f"snapmirror did not make {place.base}, and leaves it alone", hint="name another pool or dataset in [zfs]"
    )


def _refuse_stranger(place: Place) -> None:
    """Refuse if another pool of this name is imported: our own has been released before."""
    if zpool.is_imported(place.pool):
        raise StorageError(
            f"another pool is called {place.pool}, and imported", hint="give this store's pool another name in [zfs]"
        )


def read_passphrase(settings: ZfsConfig) -> bytes | None:
    """The passphrase of native encryption, one line; None without it."""
    if settings.encryption == "none":
        return None
    key = encryption.read_secret(settings.key_file, settings.key_command).removesuffix(b"\n").removesuffix(b"\r")
    if len(key) not in _PASSPHRASE or b"\n" in key or b"\0" in key:
        raise StorageError(
            "a passphrase of ZFS is one line of 8 to 512 characters",
            hint="make one with: (umask 077; openssl rand -base64 48 > FILE)",
        )
    return key


# --- leftovers of a dead run or of browsing


def is_browsed(place: Place) -> bool:
    """Whether `snapmirror mount` has left the store mounted."""
    mounted = mount_at(place.path)
    return mounted is not None and mounted.read_only and mounted.source == place.base and _is_open(place)


def release(place: Place) -> bool:
    """Unmount, unload the key, export, as far as needed. True when anything was open. Refuses what is not ours."""
    top = mount_at(place.path)
    if top is not None and top.source != place.base:
        raise StorageError(
            f"{place.path} is a mount point of something else ({top.source})",
            hint="name another store.path, or umount that",
        )
    if not _is_open(place):
        return False
    mounted = zfs.mounts_of(place.base)
    for mount in mounted:
        if not mount.target.is_relative_to(place.path.resolve()):
            raise StorageError(
                f"{mount.source} is mounted on {mount.target}, not by snapmirror",
                hint=f"end that with: umount {mount.target}",
            )
    zfs.umount_all(place.base)
    if place.settings.encryption == "native":
        zfs.lock(place.base)
    if place.is_ours:
        zpool.export(place.pool)
    return place.is_ours or bool(mounted)


def _is_open(place: Place) -> bool:
    """Whether this store's pool is imported. Raises StorageError for another one with its name."""
    if not zpool.is_imported(place.pool):
        return False
    found = zfs.local_property(place.base, IDENTITY) if zfs.exists(place.base) else None
    if found is not None and (place.id is None or found == place.id):
        return True
    if place.is_ours:
        raise StorageError(
            f"another pool is called {place.pool}, and imported", hint="give this store's pool another name in [zfs]"
        )
    return False


@contextmanager
def held(place: Place, patience: float = 0.0) -> Iterator[None]:
    """Lock a store without an image against all who ask for the lock: two configurations may name the same.

    `patience`: seconds to wait for another snapmirror. Raises TakenError.
    """
    path = encryption.RUNTIME_FOLDER / f"zfs-{place.base.replace('/', '.')}.lock"
    with (
        locks.file_at(path, is_private=True) as file,
        locks.held(Rank.POOL, lambda: locks.exclusive(file, place.base, patience)),
    ):
        yield


# --- making


def make(place: Place) -> None:
    """Make the pool (if it is to be ours) and the store, closed. Raises StorageError, after undoing its steps."""
    zpool.need_module()
    key = read_passphrase(place.settings)
    identity = place.id or str(uuid.uuid4())
    if place.is_ours:
        _refuse_stranger(place)
        if place.device is None:
            _clear_unfinished(place)
        with undone_by(lambda: zpool.export(place.pool)):
            zpool.create(place.pool, place.layout, {IDENTITY: identity, "mountpoint": "none", "canmount": "off"})
            try:
                _make_store(place, identity, key)
            except BaseException:
                zpool.destroy(place.pool)
                raise
        return
    if not zfs.exists(place.base.rpartition("/")[0]):
        raise StorageError(
            f"the dataset {place.settings.dataset} does not exist", hint="is its pool imported? else: zfs create"
        )
    if zfs.exists(place.base):
        _refuse_finished(place, place.base)
        zfs.destroy(place.base)
    _make_store(place, identity, key)


def _clear_unfinished(place: Place) -> None:
    """Remove the pool that a killed init has left on the devices."""
    try:
        zpool.import_(place.pool, place.devices)
    except StorageError:
        return  # there is no pool
    with undone_by(lambda: zpool.export(place.pool)):
        _refuse_finished(place, place.pool)
        zpool.destroy(place.pool)


def _refuse_finished(place: Place, dataset: str) -> None:
    """Refuse a dataset that has no mark of ours, or is marked as ready."""
    if zfs.local_property(dataset, IDENTITY) is None:
        raise _foreign(place)
    if zfs.exists(place.base) and zfs.local_property(place.base, READY) is not None:
        raise StorageError(
            f"{place.base} is ready already", hint="init makes new stores only; 'snapmirror run' uses this one"
        )


def _make_store(place: Place, identity: str, key: bytes | None) -> None:
    settings = place.settings
    zfs.create(
        place.base,
        {
            IDENTITY: identity,
            **_PROPERTIES,
            "compression": settings.compression,
            "recordsize": str(settings.record_size),
            **(_CIPHER if key is not None else {}),
        },
        passphrase=key,
    )
    if key is not None:
        zfs.lock(place.base)


def mark_ready(place: Place) -> None:
    """Mark the open store as ready: it has passed the self-test."""
    zfs.set_property(place.base, READY, "yes")


def remove(place: Place) -> None:
    """Remove what this init has made, after a failed self-test."""
    if place.is_ours:
        _clear_unfinished(place)
    else:
        _refuse_finished(place, place.base)
        zfs.destroy(place.base)


def check_thoroughly(place: Place) -> None:
    """Read every block in use of the open store. Raises StorageError when any is damaged."""
    zpool.scrub(place.pool)
    if errors := zpool.health(place.pool).errors:
        raise StorageError(f"the pool {place.pool} is damaged: {errors[0]}", hint="'zpool status -v' says more")
