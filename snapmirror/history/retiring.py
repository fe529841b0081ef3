"""Removes the whole history of a mirror that is no longer backed up, with or without a section in the configuration.

First a note of what, when and by whom is synced to the device. Then the folder is renamed, in one step: from there on
the history is gone, and the next command that writes completes the removal; before it nothing has changed. The notes
stay in the store. This machine drops what it remembers of the mirror only if it has itself noted that it removes it:
otherwise anyone who controls the store could make it forget, and put an older store in place (see `newest`).
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, ValidationError

from snapmirror import files, folder, machine
from snapmirror.config import Config
from snapmirror.config.values import MirrorName
from snapmirror.errors import ACCEPT, GuardError, StorageError, UsageError
from snapmirror.files import ForeignError
from snapmirror.history.open import history_called
from snapmirror.snapshots import places, times
from snapmirror.snapshots.names import remove_tree
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.zfs import retiring as on_zfs
from snapmirror.state import catalogues, damage, newest
from snapmirror.state.followers.files import forget as forget_reports
from snapmirror.storage.open_store import OpenStore
from snapmirror.tools import filesystems
from snapmirror.tools.mount import mounts

log = logging.getLogger("snapmirror.retiring")
_ALIVE = timedelta(days=2)
_OURS = re.compile(r"backup\.\d+|by-date|current|\.snapmirror")


class Retired(BaseModel):
    """A removed history: its mirror, when and by whom, and its snapshots, if its record could be read."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mirror: MirrorName
    at: str
    by: str
    snapshots: tuple[str, ...] = ()


class _Notes(BaseModel):
    """The content of the file. `removing` was begun, and may be incomplete; `retired` are done, the latest last."""

    format: Literal["snapmirror retired"] = "snapmirror retired"
    version: Literal[1] = 1
    removing: Retired | None = None
    retired: list[Retired] = []


class Doomed(Struct, frozen=True):
    """A history to be removed. `in_configuration`: it has a section. `damage`: why its record cannot be read."""

    name: str
    in_configuration: bool
    snapshots: list[Snapshot] = field(default_factory=list)
    damage: str | None = None


def find(config: Config, store: OpenStore, name: str) -> Doomed:
    """The history with this name in an open store. Raises UsageError."""
    names = [home.name for home in folder.histories(store.path)]
    in_configuration = name in {mirror.name for mirror in config.mirrors}
    if name not in names or not _is_a_name(name):
        raise UsageError(
            f"the store holds no history of {name!a}",
            hint=f"it holds those of {', '.join(names)}" if names else "it holds none at all",
        )
    try:
        return Doomed(name, in_configuration, history_called(store, name).snapshots())
    except ForeignError:
        raise
    except StorageError as error:
        return Doomed(name, in_configuration, damage=error.message)


def check(store: OpenStore, doomed: Doomed, now: datetime, *, pinned: bool, accept: bool) -> None:
    """Raises SnapmirrorError if something would be removed by mistake: pinned snapshots (unless `pinned`), a mirror
    that was backed up lately or whose record cannot be read (unless `accept`), and always files that are not ours.
    """
    home = store.path / doomed.name
    for entry in sorted(os.scandir(home), key=lambda one: one.name):
        if not _OURS.fullmatch(entry.name):
            raise ForeignError(Path(entry.path), "was not made by snapmirror")
    _check_mounts(store, home)
    if store.dataset is not None:
        on_zfs.check(store.dataset, doomed.name)
    kept = [one.id for one in doomed.snapshots if one.pinned]
    if kept and not pinned:
        raise UsageError(
            f"{kept[0]} is pinned", hint=f"'snapmirror unpin {kept[0]}' releases it; --with-pinned removes it as well"
        )
    if accept:
        return
    if doomed.damage is not None:
        raise GuardError(f"it is unknown what is pinned: {doomed.damage}", hint=ACCEPT)
    if doomed.snapshots and now - doomed.snapshots[0].taken_at < _ALIVE:
        raise GuardError(
            f"{doomed.name} was backed up lately: its last snapshot is {doomed.snapshots[0].id}", hint=ACCEPT
        )


def _check_mounts(store: OpenStore, home: Path) -> None:
    real = home.resolve()
    for mount in mounts():
        own = store.dataset is not None and mount.source.partition("@")[0] == f"{store.dataset}/{home.name}"
        if mount.target.is_relative_to(real) and not own:
            raise StorageError(
                f"{mount.source} is mounted on {mount.target}, inside the history to be removed",
                hint=f"run: umount {mount.target}",
            )


def retire(config: Config, store: OpenStore, doomed: Doomed) -> None:
    """Remove it, and what this machine remembers of it. Raises SnapmirrorError."""
    trash = _trash(store, doomed.name)
    if os.path.lexists(trash):
        raise ForeignError(trash, "is in the way")
    notes = _load(store)
    ids = tuple(one.id for one in doomed.snapshots)
    notes.removing = Retired(mirror=doomed.name, at=times.iso(int(time.time())), by=machine.who(), snapshots=ids)
    _remembering(config, doomed.name, newest.retire)
    _save(store, notes)
    if store.dataset is not None and on_zfs.is_standing(store.dataset, doomed.name):
        on_zfs.set_aside(store.dataset, doomed.name)
    (store.path / doomed.name).rename(trash)
    filesystems.sync(store.path)
    finish(config, store)


def finish(config: Config, store: OpenStore) -> str | None:
    """Complete a removal, or delete its note if it was not begun; return the mirror whose history is gone.

    Raises SnapmirrorError.
    """
    notes = _load(store)
    if (note := notes.removing) is None:
        return None
    home, trash = store.path / note.mirror, _trash(store, note.mirror)
    aside = store.dataset is not None and on_zfs.is_set_aside(store.dataset, note.mirror)
    notes.removing = None
    if not aside and not os.path.lexists(trash) and os.path.lexists(home):
        _remembering(config, note.mirror, newest.keep)
        _save(store, notes)
        return None
    if aside and not os.path.lexists(trash):
        home.rename(trash)
        filesystems.sync(store.path)
    if newest.is_retiring(config, note.mirror):
        steps = (forget_reports, damage.settle, newest.forget, catalogues.forget)
        _remembering(config, note.mirror, *steps)
    if store.dataset is not None and aside:
        on_zfs.destroy(store.dataset, note.mirror)
    if os.path.lexists(trash):
        places.check_folder(trash)
        remove_tree(trash)
    filesystems.sync(store.path)
    notes.retired.append(note)
    _save(store, notes)
    return note.mirror


def _remembering(config: Config, mirror: str, *steps: Callable[[Config, str], None]) -> None:
    try:
        for step in steps:
            step(config, mirror)
    except OSError as error:
        raise StorageError(
            f"the kept state of {mirror} cannot be changed: {error.filename}: {error.strerror}",
            hint="check state_dir in [store], and [report]",
        ) from error


def _is_a_name(name: str) -> bool:
    """Whether a mirror may have this name."""
    try:
        Retired(mirror=name, at="", by="")
    except ValidationError:
        return False
    return True


def _trash(store: OpenStore, mirror: str) -> Path:
    return store.path / f"{folder.RETIRED}.{mirror}"


def _file(store: OpenStore) -> Path:
    return store.path / folder.RETIREMENTS


def _load(store: OpenStore) -> _Notes:
    path = _file(store)
    try:
        return _Notes.model_validate_json(files.read(path))
    except FileNotFoundError:
        return _Notes()
    except ValidationError as error:
        raise StorageError(
            f"{path}, the list of removed histories, is damaged: {error.errors()[0]['msg']}",
            hint="move it away; if a folder beside it has a name like it, that is the rest of a history that was "
            "being removed",
        ) from error


def _save(store: OpenStore, notes: _Notes) -> None:
    with files.replacing(_file(store), alone=True) as descriptor:
        files.write_all(descriptor, memoryview(notes.model_dump_json(indent=1).encode()))
        os.fsync(descriptor)
    filesystems.sync(store.path)
