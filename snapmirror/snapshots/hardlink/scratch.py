"""The folders in which rsync creates its files: `tmp` and `partial`."""

from __future__ import annotations

import os
from pathlib import Path

from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.names import remove_tree
from snapmirror.snapshots.staging import PARTIAL, TMP


def save_interrupted(layout: HardlinkLayout) -> bool:
    """Keep files that a killed rsync was receiving (`.name.AbC123`) for the next one, as partial files (`name`)."""
    for name in (TMP, PARTIAL):  # the places of an older snapmirror
        remove_tree(layout.private / name)
    saved = False
    for path in map(Path, names_in(layout.scratch)):
        base = path.name[1:-7] if path.name.startswith(".") and path.name[-7:-6] == "." else ""
        if base and path.is_file() and not path.is_symlink() and path.stat().st_size:
            os.replace(path, layout.partial / base)
            saved = True
        else:
            remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return saved


def names_in(folder: Path) -> list[str]:
    """The paths of everything in a folder."""
    with os.scandir(folder) as found:
        return [one.path for one in found]
