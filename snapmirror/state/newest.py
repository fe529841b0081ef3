"""The newest snapshot of each mirror, noted on this machine: whoever controls the store can put an older one in place.

An image on a share, a disk that was taken away, or a folder that is put back to an older or an empty state looks like a
sound store, and a night would go on from there, with nothing for the guards to compare with. So the snapshot that was
published last is noted in the state folder, and a store that lacks it is refused until the administrator accepts it. A
store with newer snapshots is accepted: the machine lost its power between publishing and noting, or another machine has
made a night. Without a note nothing is compared.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from snapmirror import files
from snapmirror.config import Config
from snapmirror.errors import GuardError
from snapmirror.snapshots import record
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.record import Id, Snapshot
from snapmirror.state_folder import state_file

log = logging.getLogger("snapmirror.newest")

HINT = "was another disk mounted, or the image restored from a copy? To go on from there: --accept-changes"


class Newest(BaseModel):
    """Number and name of a snapshot."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    sequence: int
    id: Id


class _Known(BaseModel):
    """The content of the file."""

    version: int = 1
    mirrors: dict[str, Newest] = {}
    retiring: frozenset[str] = frozenset()  # mirrors whose whole history is being removed


def check(config: Config, mirror: str, snapshots: Sequence[Snapshot]) -> None:
    """Raises GuardError if these snapshots, newest first, lack the one that this machine has noted."""
    if (sentence := behind(config, mirror, snapshots)) is not None:
        raise GuardError(sentence, hint=HINT)


def behind(config: Config, mirror: str, snapshots: Sequence[Snapshot]) -> str | None:
    """How a mirror's history is behind the note of it, as a sentence; None if it is not."""
    known = _load(config).mirrors.get(mirror)
    return None if known is None else compare(mirror, known, snapshots)


def compare(mirror: str, known: Newest, snapshots: Sequence[Snapshot]) -> str | None:
    """The same for a snapshot that is known to have been the newest."""
    last = f"the last one made here is {known.id} (number {known.sequence})"
    if not snapshots:
        return f"the store holds no snapshot of {mirror}, but {last}"
    newest = snapshots[0]
    if newest.sequence < known.sequence:
        return f"the newest snapshot of {mirror} in the store is {newest.id} (number {newest.sequence}), but {last}"
    same = next((one for one in snapshots if one.sequence == known.sequence), None)
    if same is not None and same.id != known.id:
        return f"snapshot number {same.sequence} of {mirror} in the store is {same.id}, but {last}: it is another store"
    return None


def in_folder(config: Config, mirror: str, store: Path) -> str | None:
    """The same for the record in a store's folder, if it can be read now; ZFS keeps none. Raises StorageError."""
    if config.zfs is not None:
        return None
    layout = HardlinkLayout(store / mirror)
    layout.check()
    return behind(config, mirror, record.load(layout.record).snapshots)


def remember(config: Config, mirror: str, newest: Snapshot) -> None:
    """Note what was just published. Raises OSError."""
    known = _load(config)
    known.mirrors[mirror] = Newest(sequence=newest.sequence, id=newest.id)
    known.retiring -= {mirror}
    _save(config, known)


def retire(config: Config, mirror: str) -> None:
    """Note that the whole history of a mirror is about to be removed from here. Raises OSError.

    The store's own note of that is not trusted: anyone who controls the store could make us forget the newest snapshot.
    """
    known = _load(config)
    known.retiring |= {mirror}
    _save(config, known)


def is_retiring(config: Config, mirror: str) -> bool:
    """Whether that is noted, so that the removal may be completed."""
    return mirror in _load(config).retiring


def keep(config: Config, mirror: str) -> None:
    """Undo that note: the history was not removed after all. Raises OSError."""
    known = _load(config)
    known.retiring -= {mirror}
    _save(config, known)


def forget(config: Config, mirror: str) -> None:
    """Forget this mirror: its whole history was removed. Raises OSError."""
    known = _load(config)
    known.mirrors.pop(mirror, None)
    known.retiring -= {mirror}
    _save(config, known)


def _save(config: Config, known: _Known) -> None:
    path = file_of(config)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with files.replacing(path) as descriptor:
        files.write_all(descriptor, memoryview(known.model_dump_json(indent=1).encode()))
        os.fsync(descriptor)


def file_of(config: Config) -> Path:
    """The file of these notes."""
    return state_file(config, ".newest.json")


def _load(config: Config) -> _Known:
    path = file_of(config)
    try:
        return _Known.model_validate_json(files.read(path))
    except FileNotFoundError:
        return _Known()
    except (OSError, files.ForeignError, ValidationError) as error:
        log.warning("%s cannot be read: %s", path, str(error).splitlines()[0])
        return _Known()
