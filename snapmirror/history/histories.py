"""The histories on a store, opened for reading or pinning.

Commands that only read records and manifests (`list`, `find`, `ls`, `diff`) take no lock: a record is replaced as a
whole, a manifest is written before its snapshot is published and never changed, and they print dated names, which a
rotation does not change. So in a plain folder they work while a night is running. Only one program at a time can use an
image: while a run uses it they read the copies of `catalogues`. Commands that read the snapshots' trees (`restore`,
`verify`) or write the record (`pin`) take the lock of a run: otherwise a rotation would move the folders meanwhile, and
recycling would change them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror import folder
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import Interrupted, SnapmirrorError, StorageError, TakenError
from snapmirror.history.open import history_of
from snapmirror.history.unfinished import complete_removal
from snapmirror.snapshots.history import Catalogue, History
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.select import choose
from snapmirror.state import catalogues, newest, summary
from snapmirror.state.catalogues import KeptCatalogue
from snapmirror.storage.locks import READER_SECONDS
from snapmirror.storage.open_store import OpenStore, open_store
from snapmirror.storage.run_lock import refusal, run_lock

log = logging.getLogger("snapmirror.histories")


class Found(Struct, frozen=True):
    """A snapshot with its mirror and its history."""

    mirror: MirrorConfig
    history: Catalogue
    snapshot: Snapshot

    @property
    def tree(self) -> Path:
        """Its folder."""
        return self.history.tree(self.snapshot)


class Catalogues(Struct, frozen=True, kw_only=True):
    """The contents of the histories of the requested mirrors, read without access to a tree.

    `busy`: why the store itself cannot be opened now, if the copies of `at` (seconds since 1970) are read instead.
    """

    config: Config
    mirrors: Mapping[str, MirrorConfig]
    histories: Mapping[str, Catalogue]
    busy: SnapmirrorError | None = None
    at: float | None = None

    def __iter__(self) -> Iterator[tuple[MirrorConfig, Catalogue]]:
        for name, history in self.histories.items():
            yield self.mirrors[name], history

    def snapshots(self) -> dict[str, list[Snapshot]]:
        """The published snapshots, by mirror, newest first."""
        return {name: history.snapshots() for name, history in self.histories.items()}

    def published(self, mirror: str) -> list[Snapshot]:
        """The snapshots published by now."""
        return KeptCatalogue(self.config, mirror).snapshots()

    def space(self, now: float) -> summary.Space | None:
        """The space of the store, as far as it is known."""
        return summary.space_now(self.config, now)

    def without_section(self) -> list[str]:
        """Names of histories on the store without a mirror in the configuration."""
        return folder.without_section(self._all(), [mirror.name for mirror in self.config.mirrors])

    def _all(self) -> Sequence[str]:
        space = summary.load(self.config).space
        return () if space is None else space.histories

    def find(self, text: str) -> Found:
        """The snapshot that a user names. Raises UsageError."""
        chosen = choose(self.snapshots(), text)
        return Found(self.mirrors[chosen.mirror], self.histories[chosen.mirror], chosen.snapshot)


class Histories(Catalogues, frozen=True, kw_only=True):
    """The same in a store that is open."""

    histories: Mapping[str, History]
    store: OpenStore

    def __iter__(self) -> Iterator[tuple[MirrorConfig, History]]:
        for name, history in self.histories.items():
            yield self.mirrors[name], history

    def published(self, mirror: str) -> list[Snapshot]:
        """The snapshots published by now."""
        return history_of(self.store, self.mirrors[mirror]).snapshots()

    def space(self, now: float) -> summary.Space | None:
        """The space of the store, as far as it is known."""
        return summary.space_now(self.config, now) or summary.space_of(self.store, now)

    def _all(self) -> Sequence[str]:
        return [home.name for home in folder.histories(self.store.path)]


@contextmanager
def opened(
    config: Config, names: Sequence[str] = (), *, locked: bool = False, read_only: bool = True
) -> Iterator[Histories]:
    """The histories of these mirrors (all, if none is named). `locked`: no other run changes or moves anything.

    Raises SnapmirrorError.
    """
    mirrors = config.select(names)
    with ExitStack() as stack:
        if locked:
            stack.enter_context(run_lock(config, reading=read_only))
        patience = READER_SECONDS if locked else 0.0
        store = stack.enter_context(open_store(config, read_only=read_only, patience=patience))
        if locked and not read_only:
            complete_removal(config, store)
        histories = {mirror.name: history_of(store, mirror) for mirror in mirrors}
        for name, history in histories.items():  # a reader may want just that; a night refuses it
            if (sentence := newest.behind(config, name, history.snapshots())) is not None:
                log.warning("%s", sentence)
        if locked:
            for name, history in histories.items():
                _check_order(name, history, read_only=read_only)
        try:
            yield Histories(
                config=config,
                mirrors={mirror.name: mirror for mirror in mirrors},
                histories=histories,
                store=store,
            )
        except BaseException as error:
            if not read_only and not isinstance(error, Interrupted):  # the store may have become unreachable
                catalogues.keep(config, store, histories, anew=True)
            raise
        if not read_only:
            catalogues.keep(config, store, histories, anew=True)


@contextmanager
def looked_up(config: Config, names: Sequence[str] = ()) -> Iterator[Catalogues]:
    """The contents of the histories of these mirrors; while a run uses the image or pool, from the copies.

    Raises SnapmirrorError.
    """
    mirrors = config.select(names)
    busy: SnapmirrorError | None = None if config.is_plain else refusal(config)
    if busy is None:
        with ExitStack() as stack:
            try:
                histories = stack.enter_context(opened(config, names))
            except TakenError as error:
                if not error.is_near:
                    raise
                busy = error
            else:
                yield histories
                return
    kept = {mirror.name: KeptCatalogue(config, mirror.name) for mirror in mirrors}
    times = [one.at for one in kept.values() if one.at is not None]
    if len(times) < len(kept):
        raise busy
    yield Catalogues(
        config=config,
        mirrors={mirror.name: mirror for mirror in mirrors},
        histories=kept,
        busy=busy,
        at=min(times),
    )


def refuse_busy(config: Config) -> None:
    """Raises LockedError while a run uses the image or pool, for what the copies do not contain."""
    if not config.is_plain and (busy := refusal(config)) is not None:
        raise busy


def _check_order(name: str, history: History, *, read_only: bool) -> None:
    if not history.unfinished:
        return
    if read_only:
        raise StorageError(
            f"{name}: the last run died while it was renumbering the snapshots",
            hint="'snapmirror run' finishes that first",
        )
    history.recover()
