"""A server's messages come out of our rsync between its own lines: none of them may be taken for one of these.

What the record says of a name is what is on the disk, whatever the server has said about it. Otherwise `verify --heal`
would bring a sealed snapshot to what the server likes: it fetches what fits the record.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import hostile
from tests.support.evil_daemon import TIME
from tests.support.hostile import CHECK, LIST, NAMES, Attack, Sender
from tests.support.runner import Scene
from tests.support.siege import Siege

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners and devices need root")
EVIL = b"EVIL!!!"


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Siege]:
    siege = Siege(Scene(tmp_path / "scene"))
    siege.honest()
    yield siege
    siege.scene.release()


def line(version: int, name: bytes, *, item: bytes = b">f+++++++++", content: bytes = EVIL, mode: bytes = b"") -> bytes:
    """A line as rsync prints it for a name that has landed; formats as the program has or had them."""
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest().encode()
    when = time.strftime("%Y/%m/%d-%H:%M:%S", time.gmtime(TIME + version)).encode()
    return b"%b|%b|%b|0|0|%d|%b|//%b\n" % (checksum, item, mode or b"rw-r--r--", len(content), when, name)


FORGED = {
    "another checksum": (b"d/c", {}),
    "another mode": (b"d/c", {"mode": b"rwsrwxrwx", "content": b"0000002"}),
    "a symlink": (b"d/c", {"item": b"cL+++++++++"}),
    "a folder": (b"d/c", {"item": b"cd+++++++++"}),
    "a device": (b"d/c", {"item": b"cD+++++++++"}),
    "a hard link": (b"d/c", {"item": b"hf+++++++++"}),
    "another size": (b"d/c", {"content": b"EVIL but longer"}),
    "a folder's mode": (b"d/", {"item": b"cd+++++++++", "mode": b"rwxrwxrwx"}),
    "the root's mode": (b"./", {"item": b"cd+++++++++", "mode": b"rwxrwxrwx"}),
    "one of a group": (b"d/h2", {"content": b"one 0000002"}),
    "a name that was not asked for": (b"d/b", {}),
}


def test_forged_lines(siege: Siege) -> None:
    for what, (name, how) in FORGED.items():
        says = line(siege.version + 1, name, **how)
        siege.attacked(what, Attack(says=says), on=(NAMES,))
    siege.end()


@pytest.mark.parametrize("name", [b"d/c", b"d/h2", b"a"])
def test_a_line_of_a_name_that_did_not_come(siege: Siege, name: bytes) -> None:
    says = line(siege.version + 1, name)
    result = siege.attacked("not sent", Attack(says=says, left_out=frozenset({name})), on=(NAMES,))
    assert result.exit_code == 3 and os.fsdecode(name) in str(result.mirror["warnings"]), str(result)
    siege.end()


HALF = [
    b"xxxxxxxxxxx|\n",
    b"xxxxxxxxxxx|y//z\n",
    b".f..t......|\xff\xff|//\\#3\n",
    b".f..t......|rw-r--r--|0|0|5|1930/99/99-00:00:00|//../../d/c\n",
    b">f+++++++++|rw-r--r--|0|0|%d|1930/01/01-00:00:00|//d/c\n" % 10**40,
]


def test_half_an_entry(siege: Siege) -> None:
    """Said while a full night compares it counts for nothing; in a listing it ends the night."""
    for says in HALF:
        attack = Attack(says=says)
        assert siege.attacked("compared", attack, "--full", on=(CHECK,)).exit_code == 0
        for marker in (None, ".nobackup"):
            siege.settings["exclude_marker"] = marker
            result = siege.run(Sender(hostile.tree(siege.version), attack, (LIST,)), "run", "--json")
            assert result.exit_code == 12, f"{says!r}: {result}"
    siege.end()


@pytest.mark.parametrize("by_night", [False, True])
def test_a_forged_checksum_and_healing(tmp_path: Path, by_night: bool) -> None:
    """Were what the server's line says in the record: the server then has what fits it, and waits for the healing."""
    siege = Siege(Scene(tmp_path / "scene"), verify={"read_all_within_days": 0})
    siege.honest()
    version = siege.version + 1
    siege.attacked("forged", Attack(says=line(version, b"d/c")), on=(NAMES,))
    file = siege.scene.slots()[1] / "d/c"
    before = file.read_bytes()
    tree = hostile.tree(version)
    tree[b"d/c"] = replace(tree[b"d/c"], content=EVIL)
    if by_night:
        siege.settings["verify"] = {"read_all_within_days": 1, "heal": "auto"}
        result = siege.run(Sender(tree), "run", "--json")
        assert result.mirror["read_back"]["files"] > 5 and result.exit_code == 0, str(result)
        file = siege.scene.slots()[2] / "d/c"
    else:
        siege.run(Sender(tree), "verify", "--full", "--heal")
    assert file.read_bytes() == before
    siege.look("healing")
    siege.end()
