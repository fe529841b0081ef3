"""Samba's settings for the history: made of the configuration, and nothing in them that was not said."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from snapmirror.config import parse
from snapmirror.storage.export import settings_of


def test_settings(tmp_path: Path) -> None:
    config = parse(
        {
            "store": {"path": "/srv/snapmirror"},
            "export": {"users": {"anna": "/a", "bob": "/b"}, "port": 4450, "interfaces": ["eth0"]},
            "mirror": [{"name": "web1", "source": "/etc"}, {"name": "new", "source": "/etc"}],
        }
    )
    by_date = tmp_path / "history" / "web1" / "by-date"
    by_date.mkdir(parents=True)
    for number, name in ((2, "2026-11-20T030000Z"), (1, "2026-11-21T030000Z")):
        (by_date.parent / f"backup.{number}").mkdir()
        (by_date / name).symlink_to(f"../backup.{number}")
    assert config.export is not None
    read = configparser.RawConfigParser(delimiters="=")
    read.read_string(settings_of(config, config.export, tmp_path))
    assert read.sections() == ["global", "history", "web1"], "a mirror without a snapshot has no share yet"
    assert read["global"]["server smb encrypt"] == "required"
    assert read["global"]["interfaces"] == "lo eth0"
    for share in ("history", "web1"):
        assert read[share]["read only"] == "yes"
        assert read[share]["valid users"] == "anna bob"
        assert read[share]["wide links"] == "no"
    assert read["web1"]["path"] == read["web1"]["shadow:basedir"] == str(by_date.parent / "backup.1")
    assert read["web1"]["shadow:snapdir"] == str(by_date)


@pytest.mark.parametrize("crafted", ["/etc", "../../victim", "../.snapmirror", "../link", "the folder", "the mirror"])
def test_a_dated_name_that_leads_elsewhere_is_not_served(tmp_path: Path, crafted: str) -> None:
    """Samba would follow it as root: the holder of the image could show its users any file of this machine."""
    config = parse(
        {
            "store": {"path": "/srv/snapmirror"},
            "export": {"users": {"anna": "/a"}},
            "mirror": [{"name": "web1", "source": "/etc"}],
        }
    )
    victim, mirror = tmp_path / "history" / "victim", tmp_path / "history" / "web1"
    (victim / "by-date").mkdir(parents=True)
    for name in ("backup.1", "by-date", ".snapmirror"):
        (mirror / name).mkdir(parents=True)
    (mirror / "link").symlink_to(victim)
    (mirror / "by-date" / "2026-11-20T030000Z").symlink_to("../backup.1")
    assert config.export is not None
    assert "[web1]" in settings_of(config, config.export, tmp_path)
    if crafted == "the folder":
        (mirror / "backup.1").rmdir()
        (mirror / "backup.1").symlink_to(victim)
    elif crafted == "the mirror":
        mirror.rename(mirror.with_name("moved"))
        mirror.symlink_to("moved")
    else:
        (mirror / "by-date" / "2026-11-21T030000Z").symlink_to(crafted)
    assert "[web1]" not in settings_of(config, config.export, tmp_path)
