"""Where a copy of the image goes, and that a share of it is watched as that of the image is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import Config, parse, parse_destination
from snapmirror.errors import StorageError, UsageError
from snapmirror.storage import watchdog
from snapmirror.storage.destination import mounted, share_of

SHARE = {"unc": "//winhost/backup", "credentials": "/etc/smb.cred", "mount_point": "/mnt/share"}


def config_of(share: dict[str, Any] | None = None, copy: dict[str, Any] | None = None) -> Config:
    image = "snapmirror.img" if share else "/var/backups/snapmirror.img"
    tables = {
        "store": {"path": "/srv/snapmirror"},
        "image": {"file": image, "size": "1G", "encryption": "none"},
        "mirror": [{"name": "m", "source": "/etc"}],
    }
    return parse({**tables, **({"share": share} if share else {}), **({"copy": copy} if copy else {})})


def test_a_share_is_reached_as_copy_says_or_as_the_share_of_the_image_is() -> None:
    usb = parse_destination(r"\\winhost\usb\snapmirror")
    found = share_of(config_of(SHARE), usb)
    assert found is not None
    assert (found.unc, str(found.credentials), found.port) == ("//winhost/usb/snapmirror", "/etc/smb.cred", 445)
    assert str(found.mount_point) == "/run/snapmirror/copy"
    own = {"destination": "//other/usb", "credentials": "/etc/usb.cred", "port": 4450, "mount_point": "/mnt/usb"}
    found = share_of(config_of(SHARE | {"lost_after_seconds": 60}, own), usb)
    assert found is not None
    assert (str(found.credentials), found.port, str(found.mount_point)) == ("/etc/usb.cred", 4450, "/mnt/usb")
    assert found.lost_after_seconds == 60
    assert share_of(config_of(SHARE), Path("/media/usb")) is None
    with pytest.raises(UsageError, match="cannot be reached without credentials"):
        share_of(config_of(), usb)


def test_a_disk_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    with mounted(config_of(), tmp_path) as target:
        assert target.copy == tmp_path / "snapmirror.img"
    with pytest.raises(StorageError, match="is not there"), mounted(config_of(), tmp_path / "unplugged"):
        pass
    assert list(tmp_path.iterdir()) == [], "nothing is made"


def test_both_shares_are_watched() -> None:
    assert watchdog._watched(config_of()) is None
    assert watchdog._watched(config_of(copy={"destination": "/media/usb"})) is None
    for config, name, points in (
        (config_of(SHARE), "//winhost/backup", ["/mnt/share", "/run/snapmirror/copy"]),
        (config_of(SHARE, {"destination": "/media/usb"}), "//winhost/backup", ["/mnt/share", "/run/snapmirror/copy"]),
        (config_of(copy={"destination": "//w/usb", "credentials": "/c", "mount_point": "/mnt/usb"}), "//w/usb",
         ["/mnt/usb"]),
    ):  # fmt: skip
        watched = watchdog._watched(config)
        assert watched is not None
        assert (watched.unc, [str(point) for point in watched.mount_points]) == (name, points)
