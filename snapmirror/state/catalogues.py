"""Copies of the records, manifests and checksum files of the histories in an image or a pool, in the state folder.

Only one program at a time can use an image, and opening one takes a while. So commands that need no file of a snapshot
(`list`, `find`, `ls`, `diff`) read these copies while a run uses, opens or closes the store. Reading under the run's
mount instead would keep it busy: the run could not close its store, and would end as stuck.

A run updates them after it has opened the store and before it closes it; any other command that has changed a history
updates them at once, so that purged names are gone here as well. The index is written when every file that it lists is
here. A copy that is missing, or cannot be made, costs an answer and never a night.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from snapmirror import files, folder, lockfile
from snapmirror.config import Config
from snapmirror.errors import Interrupted, SnapmirrorError
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.history import READ_BACK, Catalogue
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.zfs.layout import ZfsLayout
from snapmirror.state_folder import state_file
from snapmirror.storage.open_store import OpenStore

log = logging.getLogger("snapmirror.catalogues")
_INDEX = "index.json"
_MANIFESTS, _SUMS = "manifests", "sums"
_SUMS_FILE = re.compile(r"\d{7,}\.zst")
_MOST_OF_THE_ROOM = 0.5
_BLOCK = 1 << 20


_Mark = tuple[int, int, int]


class Index(BaseModel):
    """The copies of one mirror, as of a time (seconds since 1970): its snapshots, newest first; the room that ZFS
    reports for them (written, used), which no record holds; for each file its original's size and time, and its size.
    """

    version: Literal[1] = 1
    at: float
    snapshots: list[Snapshot]
    on_disk: Mapping[str, tuple[int | None, int | None]] = {}
    files: dict[str, _Mark] = {}

    def all_snapshots(self) -> list[Snapshot]:
        """The snapshots with the room that ZFS reports."""
        found = []
        for one in self.snapshots:
            written, used = self.on_disk.get(one.id, (None, None))
            found.append(one.model_copy(update={"written_bytes": written, "used_bytes": used}))
        return found


def are_kept(config: Config) -> bool:
    """Whether copies are kept: a plain folder needs none."""
    return config.store.keep_names and not config.is_plain


def folder_of(config: Config) -> Path:
    """The folder of the copies."""
    return state_file(config, ".names")


# --- keeping them


def keep(
    config: Config,
    store: OpenStore,
    histories: Mapping[str, Catalogue],
    *,
    anew: bool = False,
    newest: bytes | None = None,
) -> None:
    """Update the copies of these mirrors, and remove those of histories that are gone.

    `anew`: any file may have changed. Without it only new files are copied. `newest` is the manifest of the newest
    snapshot, so that it need not be read from the store. A failure is not an error.
    """
    if not are_kept(config):
        if not config.is_plain:
            shutil.rmtree(folder_of(config), ignore_errors=True)
        return
    for name, history in histories.items():
        home = folder_of(config) / name
        if history.snapshots() and not (store.path / name).exists():
            continue  # it was just removed
        try:
            lockfile.private_folder(_made(config.store.state_dir, folder_of(config)))
            _Keeper(home, history, newest).keep(anew=anew)
        except Interrupted:
            raise
        except (OSError, SnapmirrorError) as error:
            log.info("the names of %s cannot be copied to %s: %s", name, home, error)
            _drop(home)
    with suppress(OSError):
        there = {one.name for one in folder.histories(store.path)}
        there |= {name for name, history in histories.items() if not history.snapshots()}
        for home in folder_of(config).iterdir():
            if home.name not in there:
                _drop(home)


def forget(config: Config, mirror: str) -> None:
    """Remove the copies of a mirror whose history is gone."""
    _drop(folder_of(config) / mirror)


def _made(state: Path, place: Path) -> Path:
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def _drop(home: Path) -> None:
    """Remove the index first: without it no copy is used."""
    with suppress(OSError):
        (home / _INDEX).unlink(missing_ok=True)
    shutil.rmtree(home, ignore_errors=True)


class _Keeper:
    """The copies of one mirror in the folder `home`."""

    def __init__(self, home: Path, history: Catalogue, newest: bytes | None) -> None:
        self.home, self.history, self.newest = home, history, newest
        self.snapshots = history.snapshots()
        self.before = _load(home)

    def keep(self, *, anew: bool) -> None:
        for place in (self.home, self.home / _MANIFESTS, self.home / _SUMS):
            lockfile.private_folder(place)
        known = {} if self.before is None else self.before.files
        originals = self._originals()
        anew = anew or self._is_rewritten()
        kept: dict[str, _Mark] = {}
        missing: dict[str, tuple[int, int]] = {}
        for name, original in originals.items():
            mark = known.get(name)
            if mark is not None and not anew and name != READ_BACK and self._is_here(name, mark):
                kept[name] = mark
                continue
            try:
                status = original.lstat()
            except FileNotFoundError:
                continue
            now = (status.st_size, status.st_mtime_ns)
            if mark is not None and mark[:2] == now and self._is_here(name, mark):
                kept[name] = mark
            else:
                missing[name] = now
        if missing:
            self._check_room(sum(size for size, _ in missing.values()))
        for name, (size, time_ns) in missing.items():
            kept[name] = (size, time_ns, self._copy(name, originals[name]))
        self._write(kept)
        self._sweep(originals)

    def _originals(self) -> dict[str, Path]:
        """Every file to copy, with its original."""
        history = self.history
        found = {_manifest_of(one): history.manifest(one) for one in self.snapshots}
        sums = history.checksums(0).parent
        with suppress(FileNotFoundError):
            found |= {f"{_SUMS}/{path.name}": path for path in sums.iterdir() if _SUMS_FILE.fullmatch(path.name)}
        return {**found, READ_BACK: history.read_back()}

    def _is_rewritten(self) -> bool:
        """Whether a known snapshot has changed, as after a purge that this run has completed."""
        known = {one.id: _totals(one) for one in self.before.snapshots} if self.before else {}
        return any(known.get(one.id, _totals(one)) != _totals(one) for one in self.snapshots)

    def _copy(self, name: str, original: Path) -> int:
        """Make a copy; return its size. The copy of a manifest that is stored with gaps has no gaps."""
        place = self.home / name
        if self.newest is not None and name == _manifest_of(self.snapshots[0]):
            files.replace(place, self.newest)
            return len(self.newest)
        size = 0
        with files.reading(original, buffering=0) as source, files.replacing(place, alone=True) as target:
            while block := source.read(_BLOCK):
                files.write_all(target, memoryview(block))
                size += len(block)
        return size

    def _is_here(self, name: str, mark: _Mark) -> bool:
        try:
            return (self.home / name).lstat().st_size == mark[2]  # it is smaller after a power cut
        except FileNotFoundError:
            return False

    def _check_room(self, size: int) -> None:
        status = os.statvfs(self.home)
        if size > status.f_bavail * status.f_frsize * _MOST_OF_THE_ROOM:
            raise OSError(f"they are {size} bytes, and would take most of the room left there")

    def _write(self, copied: dict[str, _Mark]) -> None:
        disk = {one.id: (one.written_bytes, one.used_bytes) for one in self.snapshots if one.written_bytes is not None}
        index = Index(at=time.time(), snapshots=self.snapshots, on_disk=disk, files=copied)
        files.replace(self.home / _INDEX, index.model_dump_json().encode("utf-8", "backslashreplace"))

    def _sweep(self, originals: Iterable[str]) -> None:
        wanted = set(originals)
        for part in (_MANIFESTS, _SUMS):
            for path in (self.home / part).iterdir():
                if f"{part}/{path.name}" not in wanted:
                    path.unlink()
        if READ_BACK not in wanted:
            (self.home / READ_BACK).unlink(missing_ok=True)


def _totals(snapshot: Snapshot) -> tuple[int, int, int, int]:
    return snapshot.sequence, snapshot.entries, snapshot.files, snapshot.bytes


def _manifest_of(snapshot: Snapshot) -> str:
    return f"{_MANIFESTS}/{snapshot.id}.zst"


# --- reading them


class KeptCatalogue:
    """What is known of one mirror. See `history.Catalogue`. The trees are in the store, and not to be looked into."""

    def __init__(self, config: Config, mirror: str) -> None:
        self._home = folder_of(config) / mirror
        self._place = config.store.path / mirror
        self._is_zfs = config.zfs is not None
        index = _load(self._home)
        self.at = None if index is None else index.at
        """The time of the copies, in seconds since 1970; None if there are none."""
        self._snapshots = [] if index is None else index.all_snapshots()

    def snapshots(self) -> list[Snapshot]:
        """The published snapshots."""
        return list(self._snapshots)

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, once the store is open."""
        return (
            ZfsLayout(self._place).tree(snapshot.id)
            if self._is_zfs
            else HardlinkLayout(self._place).backup(snapshot.slot)
        )

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder."""
        return HardlinkLayout(self._place).by_date / snapshot.id

    def manifest(self, snapshot: Snapshot) -> Path:
        """The copy of a manifest."""
        return self._home / _MANIFESTS / f"{snapshot.id}.zst"

    def checksums(self, sequence: int) -> Path:
        """The copy of a checksum file."""
        return self._home / _SUMS / f"{sequence:07d}.zst"

    def read_back(self) -> Path:
        """The copy of the record of reading back."""
        return self._home / READ_BACK


def _load(home: Path) -> Index | None:
    """The index; None if there is no valid one."""
    try:
        return Index.model_validate_json(files.read(home / _INDEX))
    except FileNotFoundError:
        return None
    except (OSError, files.ForeignError, ValidationError) as error:
        log.info("%s cannot be read: %s", home / _INDEX, str(error).splitlines()[0])
        return None
