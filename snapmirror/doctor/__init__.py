"""Checks, before a night runs, everything that it needs; each line says how to mend what is wrong.

Changes nothing. `storage=True` opens the store as a night would, and tests the storage under it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from snapmirror import folder
from snapmirror.check import Check, fail, failed, ok, verdict, warn
from snapmirror.config import Config, Loaded, look
from snapmirror.doctor import programs, share, sources, store
from snapmirror.errors import ConfigError, ExitCode, SnapmirrorError
from snapmirror.storage.open_store import open_store
from snapmirror.storage.run_lock import run_lock
from snapmirror.storage.selftest import selftest

__all__ = ["Check", "examine", "verdict"]


def examine(config_path: Path, *, storage: bool = False) -> Iterator[Check]:
    """Every finding, as soon as it is known."""
    try:
        loaded = look(config_path)
    except ConfigError as error:
        for problem in error.problems or (error.message,):
            yield fail("configuration", problem, error.hint or f"edit {config_path}", ExitCode.USAGE)
        return
    config = loaded.config
    yield from _configuration(config_path, loaded)
    yield from programs.examine(config)
    yield from programs.rights(config)
    yield from share.examine(config)
    if config.host is not None:
        from snapmirror.windows.checks import reach  # here: it imports Check from this package

        yield reach(config)
    for mirror in config.mirrors:
        yield from sources.examine(mirror)
    if storage:
        yield from _storage(config)
    else:
        yield from _history(config, store.visible_folder(config))


def _configuration(path: Path, loaded: Loaded) -> Iterator[Check]:
    """The files of the configuration: who may change them, and what in them is likely a mistake."""
    names = ", ".join(mirror.name for mirror in loaded.config.mirrors)
    found = [*_changeable(loaded.files), *(warn("configuration", one.message, one.mend) for one in loaded.remarks)]
    yield from found or [ok("configuration", f"{path}: {names}")]


def _changeable(files: tuple[Path, ...]) -> Iterator[Check]:
    for file in files:
        mode = file.stat().st_mode
        if mode & 0o022:
            message = f"{file} can be changed by others ({stat.filemode(mode)}), and it names commands to run"
            yield warn("configuration", message, f"chmod go-w {file}")
    for folder_ in sorted({file.parent for file in files[1:]}):
        mode = folder_.stat().st_mode
        if mode & 0o022:
            message = f"others can add files to {folder_} ({stat.filemode(mode)}), which are included"
            yield warn("configuration", message, f"chmod go-w {folder_}")


def _history(config: Config, place: Path | None) -> Iterator[Check]:
    now = datetime.now(UTC)
    yield from sources.clock(config, place, now)
    yield from sources.last_success(config, place, now)
    if place is None:
        return
    with suppress(PermissionError):  # told before
        names = [home.name for home in folder.histories(place)]
        for name in folder.without_section(names, [mirror.name for mirror in config.mirrors]):
            yield warn("history", folder.of_no_mirror(name, place), folder.OF_NO_MIRROR)


def _storage(config: Config) -> list[Check]:
    """Test the storage as init does, then check the snapshots; the store is closed again before the lines appear."""
    try:
        with run_lock(config):
            proof = selftest(config)
            with open_store(config, read_only=True) as opened:
                history = list(_history(config, opened.path))
    except SnapmirrorError as error:
        return [failed("storage", error)]
    found = f"{proof.files} files were written, flushed, read back and compared in {proof.seconds:.1f} s"
    return [ok("storage", found), *history]
