"""[copy]: where and when the closed image is copied, usually to a disk that is taken away.

A destination is a folder of this machine, or a folder on a share, which is mounted during the copy, as [share]'s is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from snapmirror.config.section import Section
from snapmirror.config.share import Location, Table, parse_unc
from snapmirror.config.values import AbsolutePath, Bool, Days, Duration, Port, Positive, parse_absolute

Destination = Path | str  # a folder, or a share as //host/share/folder

MOUNT_POINT = Path("/run/snapmirror/copy")


def parse_destination(value: Any) -> Destination:
    r"""A folder, or //host/share/folder, also from \\host\share."""
    if isinstance(value, str) and value.startswith(("//", "\\\\")):
        return parse_unc(value)
    return parse_absolute(value)


DestinationField = Annotated[
    Destination,
    BeforeValidator(parse_destination),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([/~]|\\\\)"}),
]


class CopyConfig(Section):
    """Where `copy-image` copies the closed image: usually a USB disk that is taken away."""

    destination: DestinationField = Field(
        description="A folder on the disk; or, on a Windows machine, a share or a folder on it. It must exist.",
        examples=["//winhost/usb/snapmirror"],
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="For a share: file with username= and password=, mode 600. Default: that of [share].",
        examples=["/etc/snapmirror/usb.cred"],
    )
    port: Port = Field(default=445, description="For a share: TCP port of the server.", examples=[445])
    mount_point: AbsolutePath = Field(
        default=MOUNT_POINT,
        description="For a share: where it is mounted during the copy; made when missing.",
        examples=[str(MOUNT_POINT)],
    )
    after_night: Bool = Field(
        default=False,
        description="Copy at the end of every 'run', once the image is closed. A copy that fails is a warning.",
        examples=[True],
    )
    full_every_days: Days = Field(
        default=7,
        description="Read back and compare the whole copy when that was last done so many days ago.",
        examples=[7],
    )
    late_after: Duration | None = Field(
        default=None,
        description="How old the last copy may be before 'status' warns. Default: two days, or twice the usual "
        "time between the last copies, or between the mirrors' snapshots, where that is more.",
        examples=["8d"],
    )
    keep: Positive = Field(
        default=2,
        description="Generations of the copy to keep, as long as there is room; 1: only the newest. An older one takes "
        "as much room as has changed since.",
        examples=[2],
    )


def copy_checks(data: Table) -> Iterator[tuple[Location, str]]:
    """What [copy] forbids; for tables as `share.placed` returns them."""
    copy = data.get("copy")
    if not isinstance(copy, dict):
        return
    image, share, store = (_table(data, name) for name in ("image", "share", "store"))
    if "image" not in data:
        yield ("copy",), "there is no image to copy; a store of plain folders is copied with rsync, or add [image]"
        return
    try:
        destination = parse_destination(copy.get("destination"))
    except ValueError:
        return  # the models report it
    if isinstance(destination, Path):
        for key in ("credentials", "port", "mount_point"):
            if key in copy:
                yield ("copy", key), f"this is for a share, but {destination} is a folder of this machine"
        yield from _folder(destination, image, store)
    else:
        yield from _on_share(destination, copy, share, store)


def _folder(destination: Path, image: Table, store: Table) -> Iterator[tuple[Location, str]]:
    place = ("copy", "destination")
    if isinstance(file := image.get("file"), str) and PurePosixPath(file).parent == PurePosixPath(destination):
        yield place, "the image itself lies there; name a folder on another disk"
    if isinstance(path := store.get("path"), str) and PurePosixPath(destination).is_relative_to(path):
        yield place, f"{destination} lies inside store.path {path}, which is inside the image; name another folder"
    if isinstance(path := image.get("key_file"), str) and _below(path, destination):
        yield ("image", "key_file"), f"{path} lies beside the copy of the image, and protects nothing there"


def _on_share(destination: str, copy: Table, share: Table, store: Table) -> Iterator[tuple[Location, str]]:
    if str(share.get("unc", "")).replace("\\", "/").rstrip("/").casefold() == destination.casefold():
        yield ("copy", "destination"), "the image itself lies there; name a folder on another disk"
    if "credentials" not in copy and "credentials" not in share:
        yield (
            ("copy", "credentials"),
            "the share cannot be reached without credentials: name a file with username= and password=",
        )
    point = str(copy.get("mount_point", MOUNT_POINT))
    for name, other in (
        ("[share] mount_point", share.get("mount_point", "/run/snapmirror/share")),
        ("store.path", store.get("path")),
    ):
        if isinstance(other, str) and (_below(point, Path(other)) or _below(other, Path(point))):
            yield ("copy", "mount_point"), f"{point} and {name} {other} are mount points; neither may lie in the other"


def _below(path: str, folder: Path) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _table(data: Table, key: str) -> Table:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
