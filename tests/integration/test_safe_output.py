"""Names and messages that break terminals, logs, mails and JSON, through every command.

What comes out is looked at byte by byte. No control character leaves but the line break, nor anything invisible or that
turns the direction of text; no name makes a line of its own; JSON gives every name back.
"""

from __future__ import annotations

import base64
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import Figures
from tests.support import fake_rsync
from tests.support.evil_daemon import ERROR, FILE, FOLDER, INFO, Session, daemon_running
from tests.support.runner import LONG, Result, Scene
from tests.support.trees import Tree

NASTY = (
    b"\x1b]0;title\x07\x1b[2J\x1b[31mred",
    b"\xc2\x9b2J",
    b"\xe2\x80\xaegpj.exe",
    b"\xe2\x81\xa6isolate",
    b"\xff\xfe\x80",
    b"\xed\xa0\x80",
    b"\r\rover",
    b"x\nSubject: forged",
    b"\nweb: done",
    b"[red]loud[bold]",
    b"[link=file:etc]x",
    b"%s%n{0}{mirror}",
    b"--help",
    b"-rf",
    b"=cmd|'-C calc'!A0",
    b"<b>&amp;]]>",
    b"'; Remove-Item *; '",
    b"$(reboot)`id`",
    b"\xe2\x80\xa8separator",
    b"\xef\xbb\xbfmark",
    b"\x7f\x08\x08\x0b\x0c",
    b"n" * 255,
    b"\xf0\x9f\x92\xa9" * 60,
    b'"}]\\u0000',
)
SAYS = b"welcome \x1b[2J\x1b]0;owned\x07 \xc2\x9b31m \xe2\x80\xae \xff\xfe [red]"
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def check_safe(result: Result, figures: list[int]) -> None:
    """(The runner decodes by surrogateescape: bytes that are no UTF-8 show as surrogates, which are hidden as well.)"""
    for text in (result.stdout, result.stderr):
        bad = sorted({c for c in text if c != "\n" and unicodedata.category(c) in HIDDEN})
        assert not bad, f"{bad!r} in {text!r}"
        lines = [line for line in text.splitlines() if line.startswith(("Subject:", "web: done"))]
        assert not lines, f"a name made a line of its own: {text!r}"
        figures.append(len(text))


def names_in(value: Any) -> Iterator[bytes]:
    """Every name that JSON holds, as bytes."""
    if isinstance(value, dict):
        if "path" in value:
            coded = value.get("path_base64")
            yield base64.b64decode(coded) if coded else value["path"].encode()
        for inner in value.values():
            yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def plant(scene: Scene) -> None:
    for number, name in enumerate(NASTY):
        path = os.fsencode(scene.source) + b"/d/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(b"%d" % number)
        Path(os.fsdecode(os.fsencode(scene.source) + b"/l%d" % number)).symlink_to(os.fsdecode(name))
    Tree(scene.source).settle()


def test_every_command(scene: Scene, figures: Figures) -> None:
    plant(scene)
    seen: list[int] = []
    wanted = {b"d/" + name for name in NASTY}
    scene.sections["report"] = {"json_file": str(scene.folder / "last.json"), "metrics_file": str(scene.folder / "m")}
    scene.configure()

    def command(*words: str | Path, codes: tuple[int, ...] = (0,)) -> Result:
        result = scene.command(*words)
        assert result.exit_code in codes, str(result)
        check_safe(result, seen)
        return result

    planned = command("plan", "--json")
    assert wanted <= set(names_in(planned.json)), planned.stdout
    command("plan")
    command("--verbose", "run")
    for name in NASTY:  # all vanish, and are named
        path = Path(os.fsdecode(os.fsencode(scene.source) + b"/d/" + name))
        path.write_bytes(b"changed")
    Tree(scene.source).settle()
    fake_rsync.install(scene, f'if [ "$phase" = transfer ]; then rm -rf {scene.source}/d; fi')
    command("--verbose", "run", codes=(3,))
    fake_rsync.remove(scene)
    for words in (["list"], ["list", "--json"], ["status"], ["status", "--json"], ["doctor"], ["diff", "2", "1"]):
        command(*words, codes=(0, 3, 11, 12))
    assert wanted <= set(names_in(command("diff", "2", "1", "--json").json))
    assert wanted <= set(names_in(command("find", "d/*", "--json").json))
    command("find", "d/*")
    for name in NASTY if LONG else NASTY[::4]:
        command("find", os.fsdecode(b"/d/" + name))
        command("find", os.fsdecode(b"/nowhere/" + name), codes=(0, 2))
        command("restore", "2", os.fsdecode(b"/" + name + b"/x"), "--to", scene.folder / "out", codes=(2,))
    command("restore", "2", "/d", "--to", scene.folder / "out", "--dry-run")
    command("restore", "2", "/d", "--to", scene.folder / "out", "--dry-run", "--json")
    command("restore", "2", "/d", "--to", scene.folder / "out", "--yes")
    for path in (scene.slots()[2] / "d").iterdir():
        path.write_bytes(b"damaged")
    damaged = command("verify", "2", "--full", "--json", codes=(14,))
    assert wanted <= set(names_in(damaged.json)), damaged.stdout
    command("verify", "2", "--full", codes=(14,))
    for file in ("last.json", "m"):
        text = (scene.folder / file).read_bytes()
        assert not set(text) - {10, *range(32, 127)}, text
    figures.add(f"safe output: {len(NASTY)} names, {len(seen) // 2} commands, {sum(seen)} characters: 0 unsafe")


def hostile(session: Session) -> None:
    """It talks all the time, and lists what it does not have."""
    session.say(SAYS + b"\n", INFO)
    session.say(SAYS + b"\n", ERROR)
    session.say(b"x" * 900 * 20 + b"\n", ERROR)
    session.entry(b".", FOLDER)
    if session.dry:
        session.entry(SAYS[:90], FILE, 5)
    session.end_list()
    session.say(SAYS + b"\n", ERROR)
    session.serve(lambda _: iter([SAYS]))


def test_a_server_that_talks(scene: Scene, figures: Figures) -> None:
    """motd, messages and complaints, in a night that fails and one that warns."""
    seen: list[int] = []
    with daemon_running(hostile, motd=SAYS + b"\n") as source:
        scene.configure(source=source, acls=False, xattrs=False, timeout_seconds=20)
        for words in (["plan"], ["plan", "--json"], ["--verbose", "run"], ["run", "--json"], ["doctor"], ["status"]):
            result = scene.command(*words)
            check_safe(result, seen)
            if "--json" in words:
                json.loads(result.stdout)
            assert max(map(len, (result.stdout + result.stderr).splitlines())) < 8000
    figures.add(f"safe output: a server that talks: {len(seen) // 2} commands: 0 unsafe characters")
