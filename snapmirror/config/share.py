"""[share]: how a share is named, where the image lies on it, and what must not lie on it.

`image.file` may be relative to the share. `placed` makes it absolute before the models read it, so that no other module
needs to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

Location = tuple[str | int, ...]
Table = Mapping[str, Any]

_SHORTEST_SECONDS = 60  # a busy VM has stood still for 20; the client reconnects after 60 (see tools.cifs)
MOUNT_POINT = Path("/run/snapmirror/share")
_UNC = re.compile(r"//(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<share>[^/]+)(?P<folder>(/[^/]+)*)/?")


def parse_unc(value: Any) -> str:
    r"""//host/share or //host/share/folder, also from \\host\share."""
    text = value.replace("\\", "/") if isinstance(value, str) else ""
    match = _UNC.fullmatch(text)
    if match is None:
        raise ValueError(f'"{value}" does not name a share; write it like "//winhost/backup"')
    if "," in text or not text.isprintable() or ".." in text.split("/"):
        raise ValueError(f'"{value}" holds what mount.cifs does not accept: a comma, a control character or ".."')
    return text.rstrip("/")


def placed(data: Table) -> Table:
    """The tables with an `image.file` that is relative to the share written out from the root."""
    share, image = data.get("share"), data.get("image")
    if not isinstance(share, dict) or not isinstance(image, dict):
        return data
    file = image.get("file")
    if not isinstance(file, str) or not file or file.startswith(("/", "~")):
        return data
    return {**data, "image": {**image, "file": str(_mount_point(share) / file)}}


def share_checks(data: Table) -> Iterator[tuple[Location, str]]:
    """What [share] forbids; for tables as `placed` returns them."""
    share = data.get("share")
    if not isinstance(share, dict):
        return
    image, store = data.get("image"), data.get("store")
    if image is None:
        yield (
            ("share",),
            "a store of plain folders cannot lie on a share, which loses owners, modes and links; add [image]",
        )
        return
    lost_after = share.get("lost_after_seconds")
    if type(lost_after) is int and 0 < lost_after < _SHORTEST_SECONDS:
        yield (
            ("share", "lost_after_seconds"),
            f"a slow server may need that long to answer; set at least {_SHORTEST_SECONDS}",
        )
    point = _mount_point(share)
    files = image if isinstance(image, dict) else {}
    if isinstance(file := files.get("file"), str) and file and not _lies_in(file, point):
        yield ("image", "file"), 'with [share] the image lies on it; write its name there, like "snapmirror.img"'
    if isinstance(file, str) and re.search(r'[\\:*?"<>|]', file):
        yield ("image", "file"), 'Windows allows none of \\ : * ? " < > | in a name'
    stores = store if isinstance(store, dict) else {}
    if isinstance(path := stores.get("path"), str) and (_lies_in(path, point) or _lies_in(str(point), Path(path))):
        yield ("share", "mount_point"), f"{point} and store.path {path} are mount points; neither may lie in the other"
    for section, table, key, reason in (
        ("image", files, "key_file", "and a key beside its image protects nothing"),
        ("share", share, "credentials", "which cannot be reached without them"),
        ("store", stores, "state_dir", "and locks belong on a disk of this machine"),
    ):
        if isinstance(path := table.get(key), str) and _lies_in(path, point):
            yield (section, key), f"{path} lies on the share, {reason}; put it elsewhere"


def _mount_point(share: Table) -> Path:
    given = share.get("mount_point")
    return Path(given) if isinstance(given, str) and given.startswith("/") else MOUNT_POINT


def _lies_in(path: str, folder: Path) -> bool:
    return PurePosixPath(path).is_relative_to(folder)
