"""find and diff: what they show of real nights."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import OLD, put
from tests.support.runner import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Four snapshots; the commands only read, so all tests share them."""
    scene = Scene(tmp_path_factory.mktemp("history"))
    scene.configure(keep_last=9)
    source = scene.source
    put(source / "etc" / "app.conf", b"one")
    put(source / "etc" / "other.conf", b"other")
    put(source / "etc" / "gone", b"gone soon")
    put(source / "srv" / "moving.bin", b"moves " * 100)
    put(source / "twin", b"linked")
    os.link(source / "twin", source / "etc" / "twin")
    put(source / "[x]*", b"looks like a pattern")
    put(source / os.fsdecode(b"new\nline \xff"), b"named")
    put(source / "type", b"file")
    put(source / "sly", b"12345")
    (source / "link").symlink_to("etc/app.conf")
    for changing in (source / "link", source / "etc", source / "srv", source):  # else within one second of the change
        os.utime(changing, (OLD, OLD), follow_symlinks=False)
    scene.night()  # slot 4
    put(source / "etc" / "app.conf", b"two!", OLD + 1)
    scene.night()  # slot 3
    os.chmod(source / "etc" / "other.conf", 0o600)
    (source / "etc" / "gone").unlink()
    put(source / "etc" / "come", b"new here")
    os.rename(source / "srv" / "moving.bin", source / "moved.bin")
    (source / "link").unlink()
    (source / "link").symlink_to("elsewhere")
    (source / "type").unlink()
    (source / "type").mkdir()
    scene.night()  # slot 2
    put(source / "sly", b"54321")  # same size, same time
    scene.night("--full")  # slot 1: to rsync the same, and so to us
    return scene


def find(scene: Scene, pattern: str) -> list[dict[str, Any]]:
    result = scene.command("find", "--json", "--", pattern)
    assert result.exit_code == 0, str(result)
    found = result.json
    assert isinstance(found, list)
    return found


def ids(scene: Scene) -> list[str]:
    return list(scene.published())


def test_versions_of_a_file(scene: Scene) -> None:
    newest, *others = ids(scene)
    now, before = find(scene, "/etc/app.conf")
    assert now["snapshots"] == [newest, *others[:2]]
    assert before["snapshots"] == others[2:]
    assert (now["bytes"], before["bytes"]) == (4, 3)
    assert (now["mirror"], now["type"], now["mode"], now["modified_at"]) == (
        "web",
        "file",
        "0644",
        "2020-09-13T12:26:41Z",
    )
    assert Path(now["copy_from"]).read_bytes() == b"two!"
    assert Path(before["copy_from"]).read_bytes() == b"one"


def test_an_attribute_makes_a_version(scene: Scene) -> None:
    assert [one["mode"] for one in find(scene, "etc/other.conf")] == ["0600", "0644"]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.conf", {"etc/app.conf", "etc/other.conf"}),
        ("/etc/*.conf", {"etc/app.conf", "etc/other.conf"}),
        ("etc/[a-b]*", {"etc/app.conf"}),
        ("mov*", {"srv/moving.bin", "moved.bin"}),
        ("*/mov*", {"srv/moving.bin"}),
        ("[x]*", {"[x]*"}),
        ("twin", {"twin", "etc/twin"}),
        ("/twin", {"twin"}),
        ("*win", {"twin", "etc/twin"}),
        ("new\nline \udcff", {"new\\nline \\xff"}),
        ("new?line*", {"new\\nline \\xff"}),
        ("type", {"type"}),
        ("/etc/", {"etc"}),
        (".", {"."}),
        ("gone", {"etc/gone"}),
        ("/gone", set()),
    ],
)
def test_patterns(scene: Scene, pattern: str, paths: set[str]) -> None:
    assert {one["path"] for one in find(scene, pattern)} == paths


def test_a_name_of_any_bytes_can_be_copied(scene: Scene) -> None:
    [one] = find(scene, "new*")
    assert base64.b64decode(one["path_base64"]) == b"new\nline \xff"
    with open(base64.b64decode(one["copy_from_base64"]), "rb") as file:
        assert file.read() == b"named"


def test_what_is_found_is_shown(scene: Scene) -> None:
    result = scene.command("find", "/app.conf")
    assert result.exit_code == 0
    assert "COPY FROM" not in result.stdout, "with a slash it is a whole path"
    result = scene.command("find", "*app.conf")
    assert f"{ids(scene)[2]} … {ids(scene)[0]}" in result.stdout
    assert f"by-date/{ids(scene)[3]}/etc/app.conf" in result.stdout
    nothing = scene.command("find", "nowhere")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no snapshot of 4 holds nowhere" in nothing.stderr


def diff(scene: Scene, old: str, new: str) -> dict[str, dict[str, Any]]:
    result = scene.command("diff", "--json", old, new)
    assert result.exit_code == 0, str(result)
    return {one["path"]: one for one in result.json}


def test_differences(scene: Scene) -> None:
    found = diff(scene, "4", "2")
    kinds = {path: (one["change"], one["what"]) for path, one in found.items()}
    assert kinds.pop("etc") == kinds.pop(".") == kinds.pop("srv") == ("attributes", ["time"])
    assert kinds == {
        "etc/app.conf": ("changed", ["size", "time"]),
        "etc/other.conf": ("attributes", ["mode"]),
        "etc/gone": ("removed", []),
        "etc/come": ("added", []),
        "moved.bin": ("moved", []),
        "link": ("changed", ["target", "time"]),
        "type": ("changed", ["type"]),
    }
    assert found["moved.bin"]["source"] == "srv/moving.bin"
    assert found["type"]["before"]["type"] == "file" and found["type"]["after"]["type"] == "folder"
    assert found["link"]["after"]["target"] == "elsewhere"


def test_no_difference(scene: Scene) -> None:
    assert diff(scene, "newest", "1") == {}
    assert "no difference" in scene.command("diff", "1", "1").stderr


def test_differences_are_shown(scene: Scene) -> None:
    result = scene.command("diff", "backup.4", "backup.2")
    lines = result.stdout.splitlines()
    assert "+ etc/come" in lines
    assert "- etc/gone" in lines
    assert "> srv/moving.bin > moved.bin" in lines
    assert "A etc/other.conf  (mode rw-r--r-- > rw-------)" in lines
    assert "M etc/app.conf  (size 3 B > 4 B, time)" in lines
    assert not [line for line in lines if line.endswith("(time)")], "folders whose time only changed are noise"
    assert "1 added, 1 removed, 1 moved, 3 changed, 1 attributes, 3 folders" in result.stderr


def test_other_content_behind_the_same_line(tmp_path: Path) -> None:
    """A number tells that a file was written anew; its checksum, whether anything came of it."""
    scene = Scene(tmp_path)
    put(scene.source / "changed", b"12345")
    put(scene.source / "same", b"12345")
    scene.night()
    for name, data in (("changed", b"54321"), ("same", b"12345")):
        (scene.source / name).unlink()
        put(scene.source / name, data)
        os.setxattr(scene.source / name, "user.mark", b"x")  # the one thing that a full night sees and a line does not
    os.utime(scene.source, (OLD, OLD))
    scene.night("--full")
    kinds = {path: (one["change"], one["what"]) for path, one in diff(scene, "2", "1").items() if path != "."}
    assert kinds["same"] == ("rewritten", [])
    if (scene.slots()[1] / "changed").read_bytes() == b"54321":  # rsync's quick check may well not fetch it
        assert kinds["changed"] == ("changed", ["content"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["find"], "PATH"),
        (["diff", "1"], "Missing argument"),
        (["diff", "1", "99"], "there is no snapshot in slot 99"),
        (["diff", "2020", "1"], "no snapshot is called '2020'"),
        (["diff", "2", "20"], "there is no snapshot in slot 20"),
        (["--mirror", "x"], ""),
        (["diff", "--mirror", "wev", "1", "2"], "did you mean web?"),
    ],
)
def test_wrong_words(scene: Scene, words: list[str], said: str) -> None:
    result = scene.command(*words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_damaged_manifest_is_a_warning_to_find_and_an_error_to_diff(scene: Scene, tmp_path: Path) -> None:
    subprocess.run(["cp", "--archive", f"{scene.folder}/.", tmp_path], check=True)
    copy = Scene(tmp_path)
    manifest = copy.home / ".snapmirror" / "manifests" / f"{ids(copy)[1]}.zst"
    manifest.write_bytes(manifest.read_bytes()[:100])
    result = copy.command("find", "--json", "etc/app.conf")
    assert result.exit_code == 3
    assert len(result.json) == 2
    assert "manifest" in result.stderr
    result = copy.command("diff", "1", "2")
    assert result.exit_code == 14
    assert "manifest" in result.stderr


def test_several_mirrors(scene: Scene, tmp_path: Path) -> None:
    """Names that are of one mirror only need no --mirror."""
    config = tmp_path / "two.toml"
    other = tmp_path / "other"
    put(other / "etc" / "app.conf", b"of the other")
    text = scene.config.read_text() + f'[[mirror]]\nname = "db"\nsource = "{other}"\n[mirror.guard]\nmin_free = "1M"\n'
    config.write_text(text)
    two = Scene(scene.folder)
    two.config = config
    scene.configure(keep_last=9)
    assert two.command("run", "db").exit_code == 0
    ambiguous = two.command("diff", "newest", "1")
    assert ambiguous.exit_code == 2
    assert "several mirrors: web, db" in ambiguous.stderr
    assert two.command("diff", "--mirror", "web", "1", "2").exit_code == 0
    assert two.command("diff", ids(scene)[0], ids(scene)[1]).exit_code == 0
    found = two.command("find", "--json", "*app.conf").json
    assert {one["mirror"] for one in found} == {"web", "db"}
    [db] = [one for one in found if one["mirror"] == "db"]
    crossed = two.command("diff", ids(scene)[0], db["snapshots"][0])
    assert crossed.exit_code == 2
    assert "only snapshots of one mirror" in crossed.stderr


def test_they_work_while_a_night_is_running(scene: Scene, tmp_path: Path) -> None:
    scene.fake_program("rsync", "#!/bin/sh\nexec sleep 61.3\n")  # (it may write nowhere)
    process = scene.start("run")
    while not any("sleep 61.3" in one for one in scene.processes()):
        assert process.poll() is None
    (scene.programs / "rsync").unlink()
    try:
        assert scene.command("find", "etc/app.conf").exit_code == 0
        assert scene.command("diff", "2", "1").exit_code == 0
        assert scene.command("list").exit_code == 0
    finally:
        process.terminate()
        scene.finish(process)
