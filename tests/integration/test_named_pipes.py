"""A pipe, a socket or a device in the place of a file that the configuration names: reading it would wait for ever."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.runner import Result, Scene


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


KINDS: dict[str, Callable[[Path], None]] = {"a pipe": lambda path: os.mkfifo(path, 0o600), "a socket": _socket}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What stands at `named`."""
    name = str(request.param)
    KINDS[name](named(tmp_path))
    return name


def named(folder: Path) -> Path:
    return folder / "named"


def ended(scene: Scene, *words: str) -> Result:
    """A command that must not wait: in a process of its own, which can be killed."""
    return scene.finish(scene.start(*words), timeout=60)


@pytest.mark.parametrize("option", ["identity", "password_file", "known_hosts", "exclude_from", "include_from"])
def test_a_file_of_a_mirror(scene: Scene, kind: str, option: str) -> None:
    sources = {
        "password_file": "rsync://127.0.0.1:9/data",
        "identity": "root@127.0.0.1:/",
        "known_hosts": "127.0.0.1:/",
    }
    scene.configure(source=sources.get(option, f"{scene.source}/"), **{option: str(named(scene.folder))})  # type: ignore[arg-type]
    sentence = f"{option} {named(scene.folder)} is {kind}, not a file"
    for words, code in ((["run"], 12), (["plan"], 12), (["doctor"], 2)):
        done = ended(scene, *words)
        assert (done.exit_code, sentence in done.stdout + done.stderr) == (code, True), str(done)


def test_nothing_to_leave_out(scene: Scene) -> None:
    """/dev/null is a device, and stands for an empty file."""
    scene.configure(exclude_from="/dev/null", include_from="/dev/null")
    scene.night()


@pytest.mark.parametrize("section", ["image", "share", "export", "host", "ca_file", "certificate", "certificate_key"])
def test_a_file_with_a_secret(folder: Path, section: str, kind: str) -> None:
    here = str(named(folder))
    other = folder / "other"
    other.write_text("something\n")
    other.chmod(0o600)
    image = {"file": str(folder / "i.img"), "size": "512M", "encryption": "luks1", "filesystem": "ext4"}
    image |= {"key_file": str(other), "header_backup": str(folder / "header")}
    login = {"address": "127.0.0.1", "ca_file": str(other), "image_path": "D:\\i.img"}
    by_certificate = {**login, "transport": "certificate", "certificate": str(other), "certificate_key": str(other)}
    sections: dict[str, dict[str, object]] = {
        "image": {}, "export": {"users": {"anna": here}}, "host": {**login, "user": "u", "password_file": here},
        "share": {"unc": "//127.0.0.1/x", "credentials": here, "port": 9},
        **{key: {**by_certificate, key: here} for key in ("ca_file", "certificate", "certificate_key")},
    }  # fmt: skip
    words = {"image": ["init"], "export": ["export", "serve"], "share": ["init"]}.get(section, ["host", "check"])
    if section == "image":
        image["key_file"] = here
    if section == "share":
        image["file"] = "i.img"
    name = section if section in {"image", "share", "export", "host"} else "host"
    scene = Scene(folder / "scene", image=image if name in {"image", "share"} else {})
    scene.sections = {} if section == "image" else {name: sections[section]}
    scene.configure()
    if section == "export":  # a table in a table
        text = scene.config.read_text()
        scene.config.write_text(text.replace(f'{{"anna": "{here}"}}', f'{{ anna = "{here}" }}'))
    done = ended(scene, *words)
    told = done.stdout + done.stderr
    assert (done.exit_code, f"{here} cannot be read: it is {kind}, not a file" in told) == (11, True), str(done)


def test_a_link_to_a_file_is_followed(scene: Scene) -> None:
    (scene.folder / "list").write_text("left out\n")
    named(scene.folder).symlink_to("list")
    (scene.source / "left out").write_text("1")
    scene.configure(exclude_from=str(named(scene.folder)))
    scene.night()
    assert not (scene.slots()[1] / "left out").exists()
