"""The histories on a store, opened for those who read them, or pin.

What only reads records and manifests (`list`, `find`, `diff`) takes no lock: a record is replaced as a whole, a
manifest is written before its snapshot is published and never changed, and what is printed are dated names, which stay
when the numbers move on. So in a plain folder they work while a night is running; an image belongs to one program at a
time and says so. What reads the snapshots' trees (`restore`, `verify`) or writes the record (`pin`) takes the lock of a
run: a rotation would move the folders under its feet, and recycling would change them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapmirror import folder
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import StorageError
from snapmirror.lock import run_lock
from snapmirror.mirror import newest
from snapmirror.mirror.history import history_of
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.select import choose
from snapmirror.storage.open_store import OpenStore, open_store

log = logging.getLogger("snapmirror.histories")


@dataclass(frozen=True)
class Found:
    """A snapshot with everything that belongs to it."""

    mirror: MirrorConfig
    history: SnapshotStore
    snapshot: Snapshot

    @property
    def tree(self) -> Path:
        """Its folder."""
        return self.history.tree(self.snapshot)


@dataclass(frozen=True)
class Histories:
    """The histories of the mirrors that were asked for."""

    config: Config
    store: OpenStore
    mirrors: Mapping[str, MirrorConfig]
    histories: Mapping[str, SnapshotStore]

    def __iter__(self) -> Iterator[tuple[MirrorConfig, SnapshotStore]]:
        for name, history in self.histories.items():
            yield self.mirrors[name], history

    def snapshots(self) -> dict[str, list[Snapshot]]:
        """What is published, by mirror, the newest first."""
        return {name: history.snapshots() for name, history in self.histories.items()}

    def without_section(self) -> list[str]:
        """Names of histories on the store that the configuration has no mirror for."""
        names = [home.name for home in folder.histories(self.store.path)]
        return folder.without_section(names, [mirror.name for mirror in self.config.mirrors])

    def find(self, text: str) -> Found:
        """The snapshot that somebody means. Raises UsageError."""
        chosen = choose(self.snapshots(), text)
        return Found(self.mirrors[chosen.mirror], self.histories[chosen.mirror], chosen.snapshot)


@contextmanager
def opened(
    config: Config, names: Sequence[str] = (), *, locked: bool = False, read_only: bool = True
) -> Iterator[Histories]:
    """The histories of these mirrors (all, if none is named). `locked`: all is in place, and nothing moves meanwhile.

    Raises SnapmirrorError.
    """
    mirrors = config.select(names)
    with ExitStack() as stack:
        if locked:
            stack.enter_context(run_lock(config, reading=read_only))
        store = stack.enter_context(open_store(config, read_only=read_only))
        if locked and not read_only:
            complete_removal(config, store)
        histories = {mirror.name: history_of(store, mirror) for mirror in mirrors}
        for name, history in histories.items():  # whoever reads it may want just that; a night refuses it
            if (sentence := newest.behind(config, name, history.snapshots())) is not None:
                log.warning("%s", sentence)
        if locked:
            for name, history in histories.items():
                _check_order(name, history, read_only=read_only)
        yield Histories(config, store, {mirror.name: mirror for mirror in mirrors}, histories)


def complete_removal(config: Config, store: OpenStore) -> None:
    """Remove what is left of a history that was being removed as a whole. The caller holds the lock.

    Raises SnapmirrorError.
    """
    if os.path.lexists(store.path / folder.RETIREMENTS):
        from snapmirror.mirror.retiring import finish  # not at every start, which is counted in milliseconds

        if (name := finish(config, store)) is not None:
            log.info("removed what was left of the history of %s, which is retired", name)


def _check_order(name: str, history: SnapshotStore, *, read_only: bool) -> None:
    if not history.unfinished():
        return
    if read_only:
        raise StorageError(
            f"{name}: the last run died while it was numbering the snapshots anew",
            hint="'snapmirror run' finishes that first",
        )
    history.recover()
