"""Servers that lie to get another file's content under a new name: what they say when they are asked about names that
moved changes no history, and is believed only by checksum.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.evil_daemon import FILE, FOLDER, SYMLINK, TIME, Entry, Session, daemon_running
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.hostile import LIST, MOVED, TRANSFERS, Attack, Sender, Tree
from tests.support.runner import Result, Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners need root")
SIZE = 1_200_000
ROOT = {b".": Entry(FOLDER)}
SECRET, OTHER = b"secret" * (SIZE // 6), b"others" * (SIZE // 6)
BEFORE: Tree = {**ROOT, b"private": Entry(FOLDER), b"private/key": Entry(FILE, SECRET), b"stays": Entry(FILE, b"stays")}
NEW = Entry(FILE, OTHER)
AFTER: Tree = {**ROOT, b"public": Entry(FOLDER), b"public/page": NEW, b"stays": Entry(FILE, b"stays")}
"""The new file has the size, the time and the attributes of the old one, and another content."""


class Nights:
    """A store whose first night was honest."""

    def __init__(self, folder: Path, protocol: int = 31) -> None:
        self.scene, self.protocol = Scene(folder), protocol
        self.scene.configure(keep_last=9, timeout_seconds=20, acls=protocol > 29, xattrs=protocol > 29)
        self.outside = fingerprint(folder / "source")
        assert self.night(Sender(BEFORE)).exit_code == 0
        self.sealed: Fingerprint = fingerprint(self.scene.slots()[1])

    def night(self, sender: Sender, *words: str) -> Result:
        with daemon_running(sender, protocol=self.protocol) as source:
            self.scene.configure(keep_last=9, source=source)
            return self.scene.command("run", "--json", *words)

    def attacked(self, attack: Attack, breaks_off: int | None = None) -> Result:
        """History must be whole whatever the server says about what moved."""
        sender = Sender(AFTER, attack, [MOVED], breaks_off)
        result = self.night(sender)
        assert sender.seen, "it was not asked"
        slots = self.scene.slots()
        assert compare(self.sealed, fingerprint(slots[len(slots)])) == []
        assert compare(self.outside, fingerprint(self.scene.folder / "source")) == []
        assert self.scene.command("verify", "--full").exit_code == 0
        assert {one.name for one in (self.scene.home / ".snapmirror/staging").iterdir()} <= {"tmp", "partial"}
        return result

    @property
    def page(self) -> Path:
        return self.scene.slots()[1] / "public/page"

    @property
    def inode_of_secret(self) -> int:
        return (self.scene.slots()[2] / "private/key").stat().st_ino


@pytest.fixture(params=[29, 31])
def nights(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nights]:
    nights = Nights(tmp_path, request.param)
    yield nights
    nights.scene.kill_processes()


def claims(entry: Entry) -> Attack:
    """What is said of the new file when it is asked about."""
    return Attack(((b"public/page", entry),), instead=True)


def test_size_and_time_are_not_believed(nights: Nights) -> None:
    result = nights.attacked(Attack())
    assert result.exit_code == 0, str(result)
    assert result.mirror["moved_names"] == 0
    assert nights.page.read_bytes() == OTHER


def test_an_honest_move_is_believed(nights: Nights) -> None:
    """The attacks of this file are on a path that works."""
    result = nights.night(Sender({**AFTER, b"public/page": Entry(FILE, SECRET)}))
    assert result.mirror["moved_names"] == 1, str(result)
    assert nights.page.stat().st_ino == nights.inode_of_secret


def test_the_checksum_is_believed(nights: Nights) -> None:
    """Who knows it gets the content that it is of, which it had sent before: no other, and no changed attribute."""
    digest = hashlib.md5(SECRET, usedforsecurity=False).digest()
    result = nights.attacked(claims(replace(NEW, checksum=digest)))
    assert result.exit_code == 0, str(result)
    assert nights.page.read_bytes() == SECRET
    assert nights.page.stat().st_ino == nights.inode_of_secret


KNOWN = hashlib.md5(SECRET, usedforsecurity=False).digest()


@pytest.mark.parametrize(
    "entry",
    [
        replace(NEW, checksum=b"\0" * 16),
        replace(NEW, checksum=KNOWN, mode=FILE | stat.S_ISUID),
        replace(NEW, checksum=KNOWN, uid=1234),
        replace(NEW, checksum=KNOWN, mtime=TIME + 1),
        replace(NEW, checksum=KNOWN, size=SIZE + 1),
        Entry(SYMLINK, target=b"/etc/passwd"),
        Entry(FOLDER),
        Entry(stat.S_IFIFO | 0o644),
    ],
)
def test_any_other_claim_makes_it_fetched(tmp_path: Path, entry: Entry) -> None:
    nights = Nights(tmp_path)
    result = nights.attacked(claims(entry))
    assert result.exit_code == 0, str(result)
    assert result.mirror["moved_names"] == 0
    assert nights.page.read_bytes() == OTHER


@pytest.mark.parametrize(
    "attack",
    [
        Attack(((b"public/evil", Entry(FILE, b"evil")),)),
        Attack(((b"evil", Entry(SYMLINK, target=b"/tmp")),)),
        Attack(((b"public", Entry(SYMLINK, target=b"/tmp")),), instead=True),
        Attack(((b"stays", Entry(FILE, b"evil!", checksum=KNOWN)),)),
        Attack(left_out=frozenset({b"public/page"})),
        Attack(says=b"00000000|" + KNOWN.hex().encode() + b"|.f         |rw-r--r--|0|0|1200000|x|//public/page\n"),
    ],
)
def test_more_or_less_than_was_asked_for(tmp_path: Path, attack: Attack) -> None:
    nights = Nights(tmp_path)
    result = nights.attacked(attack)
    assert result.exit_code == 0, str(result)
    assert nights.page.read_bytes() == OTHER
    assert not list(nights.scene.store.rglob("*evil*"))
    assert (nights.scene.slots()[1] / "stays").read_bytes() == b"stays"


def test_a_line_that_breaks_meanwhile(tmp_path: Path) -> None:
    """The names are fetched; were the server really gone, the transfer would say so."""
    nights = Nights(tmp_path)

    class Breaks(Sender):
        def __call__(self, session: Session) -> None:
            if session.options.checksums and self.seen == []:
                self.seen.append(MOVED)
                raise ConnectionAbortedError
            super().__call__(session)

    result = nights.night(Breaks(AFTER))
    assert result.exit_code == 0, str(result)
    assert "they are fetched" in result.stderr
    assert nights.page.read_bytes() == OTHER


def test_it_vanishes_with_its_folder_afterwards(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    moved = {**AFTER, b"public/page": Entry(FILE, SECRET)}
    sender = Sender(moved, Attack(left_out=frozenset({b"public", b"public/page"})), TRANSFERS)
    result = nights.night(sender)
    assert sender.seen
    assert result.exit_code == 3, str(result)
    assert not (nights.scene.slots()[1] / "public").exists()
    assert nights.scene.command("verify", "--full").exit_code == 0
    assert compare(nights.sealed, fingerprint(nights.scene.slots()[2])) == []
    assert nights.night(Sender(moved)).exit_code == 0
    assert nights.page.read_bytes() == SECRET


def test_listings_that_change_between_two_nights_link_nothing_wrong(tmp_path: Path) -> None:
    """The listing says that the file has moved, and the night after that it has moved back."""
    nights = Nights(tmp_path)
    for number in range(4):
        tree, name = (AFTER, b"public/page") if number % 2 == 0 else (BEFORE, b"private/key")
        claim = Attack(((name, replace(tree[name], checksum=KNOWN)),), instead=True)
        result = nights.night(Sender(tree, claim, [MOVED, LIST]))
        assert result.exit_code == 0, str(result)
        assert nights.scene.command("verify", "--full").exit_code == 0
    assert compare(nights.sealed, fingerprint(nights.scene.slots()[5])) == []
