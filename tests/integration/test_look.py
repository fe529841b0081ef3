"""ls, cat, diff of one path, find by a bare name, restore by patterns; options that stand behind the command."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.files import OLD, put
from tests.support.runner import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    source = scene.source
    put(source / "etc" / "hosts", b"one\ntwo\nthree\n")
    put(source / "etc" / "Readme.CONF", b"x")
    put(source / "etc" / "conf.d" / "hosts", b"deep")
    put(source / "binary", b"a\0b")
    put(source / "[a]", b"a name like a pattern")
    (source / "link").symlink_to("/etc/passwd")
    scene.night()
    put(source / "etc" / "hosts", b"one\n2\x1b[2J\nthree\n", OLD + 1)
    put(source / "binary", b"a\0c", OLD + 1)
    put(source / "srv", b"new", OLD + 1)
    (source / "etc" / "Readme.CONF").chmod(0o600)
    scene.night()
    return scene


def ok(scene: Scene, *words: str | Path) -> str:
    result = scene.command(*words)
    assert result.exit_code == 0, str(result)
    return result.stdout


def test_ls(scene: Scene) -> None:
    lines = ok(scene, "ls", "newest", "/etc").splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["Readme.CONF", "conf.d/", "hosts"]
    assert lines[3].startswith("-rw") and lines[2].startswith("d")
    assert "link -> /etc/passwd" in ok(scene, "ls", "1")
    [one] = scene.command("ls", "2", "etc/hosts", "--json").json
    assert (one["path"], one["bytes"], one["type"]) == ("etc/hosts", 14, "file")
    assert scene.command("ls", "1", "nothing").exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a device")
def test_ls_tells_a_device_from_a_folder(scene: Scene) -> None:
    """It was shown with the d of a folder. (The listing does not tell block from character devices.)"""
    os.mknod(scene.source / "device", 0o20600, os.makedev(1, 3))
    os.mkfifo(scene.source / "fifo", 0o600)
    scene.night()
    modes = {line.split()[-1]: line.split()[0] for line in ok(scene, "ls", "1").splitlines()[1:]}
    assert (modes["device"], modes["fifo"], modes["etc/"][0], modes["srv"][0]) == ("Drw-------", "srw-------", "d", "-")


def test_cat(scene: Scene) -> None:
    assert ok(scene, "cat", "2", "/etc/hosts") == "one\ntwo\nthree\n"
    assert ok(scene, "cat", "1", "binary") == "a\0c"
    for path in ("etc", "link", "nothing"):
        assert scene.command("cat", "1", path).exit_code == 2


def test_diff_of_a_path(scene: Scene) -> None:
    shown = ok(scene, "diff", "2", "1", "/etc/hosts")
    assert shown.splitlines()[2:] == ["@@ -1,3 +1,3 @@", " one", "-two", "+2\\x1b[2J", " three"]
    assert "is not text" in ok(scene, "diff", "2", "1", "binary")
    assert [line for line in ok(scene, "diff", "2", "1", "etc").splitlines() if line[:1] == "M"] == [
        "M etc/hosts  (size 14 B > 16 B, time)"
    ]
    assert "+new" in ok(scene, "diff", "2", "1", "--", "srv")
    assert [one["path"] for one in scene.command("diff", "2", "1", "etc/hosts", "--json").json] == ["etc/hosts"]
    assert scene.command("diff", "2", "1", "nothing").exit_code == 2
    [line] = ok(scene, "diff", "2", "1", "etc/Readme.CONF").splitlines()
    assert line.startswith("A etc/Readme.CONF") and "mode" in line, "its text is the same"
    same = scene.command("diff", "2", "1", "[a]")
    assert (same.exit_code, same.stdout) == (0, "") and "no difference" in same.stderr


def test_find_by_a_bare_name(scene: Scene) -> None:
    def found(*words: str) -> set[str]:
        return {one["path"] for one in scene.command("find", *words, "--json").json}

    assert found("hosts") == {"etc/hosts", "etc/conf.d/hosts"}
    assert found("/etc/hosts") == {"etc/hosts"}
    assert found("*.conf") == set() and found("*.conf", "--ignore-case") == {"etc/Readme.CONF"}
    assert found("[a]") == {"[a]"}


def test_restore_by_patterns(scene: Scene) -> None:
    to = scene.folder / "to"
    ok(scene, "restore", "2", "/etc/h*", "[a]", "--to", to)
    assert sorted(str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()) == ["[a]", "etc/hosts"]
    assert scene.command("restore", "2", "*.nothing", "--to", to).exit_code == 2


def test_list_takes_the_names_of_mirrors(scene: Scene) -> None:
    """As run, plan and log do."""
    scene.config.write_text(scene.config.read_text() + f'[[mirror]]\nname = "other"\nsource = "{scene.source}"\n')
    for words in (["web"], ["--mirror", "web"], ["web", "other"]):
        assert {one["mirror"] for one in scene.command("list", *words, "--json").json} == {"web"}
    assert scene.command("list", "other", "--json").json == []
    result = scene.command("list", "nowhere")
    assert result.exit_code == 2 and "nowhere" in result.stderr, str(result)


def test_options_behind_the_command(scene: Scene) -> None:
    argv = scene.argv("list", "--json")
    place = argv.index("--config")
    behind = [*argv[:place], *argv[place + 2 :], f"--config={scene.config}", "--quiet"]
    assert scene.finish(_start(scene, behind)).exit_code == 0
    variable = [*argv[:place], *argv[place + 2 :]]
    scene.environment["SNAPMIRROR_CONFIG"] = str(scene.config)
    assert scene.finish(_start(scene, variable)).exit_code == 0
    found = scene.finish(_start(scene, [*argv[:place], "find", "--", "--quiet"]))
    assert found.exit_code == 0 and "no snapshot of 2 holds --quiet" in found.stderr


def _start(scene: Scene, argv: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=scene.environ(), cwd="/"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_users_own_configuration() -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        folder.chmod(0o755)
        scene = Scene(folder, user=65534)
        own = folder / "home" / ".config" / "snapmirror"
        own.mkdir(parents=True)
        scene.config.rename(own / "snapmirror.toml")
        scene.environment["HOME"] = str(folder / "home")
        put(scene.source / "file", b"x")
        argv = scene.argv("run")
        place = argv.index("--config")
        process = subprocess.Popen(
            [*argv[:place], *argv[place + 2 :]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=scene.environ(), cwd="/", user=65534, group=65534, extra_groups=[],
        )  # fmt: skip
        result = scene.finish(process)
        assert result.exit_code == 0, str(result)
