"""A mirror under attack: hostile nights after one another, and what each has broken, as sentences.

Each attacked night brings a new version of the server's tree (see `hostile`). Afterwards history, the world outside the
slot and what was published are looked at. Where something is broken, it is said, and the siege goes on from there.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.support import hostile
from tests.support.evil_daemon import Behave, daemon_running, program_running
from tests.support.files import flip
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.hostile import Attack, Sender, Tree
from tests.support.runner import Result, Scene
from tests.support.sshd import Sshd

Serve = Callable[[Behave], AbstractContextManager[dict[str, Any]]]
"""Serves, and gives what the mirror's configuration needs to know of it."""
FORBIDDEN = (b"/evil-of-snapmirror", b"/evil")


@contextmanager
def as_daemon(behave: Behave, protocol: int = 31) -> Iterator[dict[str, Any]]:
    """The sender is an rsync daemon."""
    with daemon_running(behave, protocol=protocol) as source:
        yield {"source": source, "acls": protocol > 29, "xattrs": protocol > 29}


def as_old_daemon(behave: Behave) -> AbstractContextManager[dict[str, Any]]:
    """The same in protocol 29."""
    return as_daemon(behave, 29)


def over_ssh(server: Sshd, *, forced: bool = False) -> Serve:
    """The sender is what a login at `server` starts: by `rsync_path`, or as the key's forced command.

    Contents are not compressed here; those of `as_daemon` are, as by default.
    """

    @contextmanager
    def serve(behave: Behave) -> Iterator[dict[str, Any]]:
        with program_running(behave, server.folder, protocol=31) as command:
            how = {"identity": str(server.restrict(command))} if forced else {"rsync_path": command}
            yield {"source": f"{server.login}:/data", "compress": "off", **server.options(), **how}

    return serve


@contextmanager
def xfs_mounted(folder: Path) -> Iterator[Path]:
    """A small XFS, with reflinks, is mounted below `folder`; gone on the way out."""
    disk, mounted = folder / "disk", folder / "xfs"
    mounted.mkdir()
    with disk.open("xb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)
        disk.unlink()


class Siege:
    """One scene. `complaints` are what was broken so far; `exit_codes` how the attacked nights ended."""

    def __init__(self, scene: Scene, serve: Serve = as_daemon, *, after: Siege | None = None, **settings: Any) -> None:
        """`after`: the scene is a copy of that one's, and goes on from there."""
        self.scene, self.serve = scene, serve
        self.victim = scene.folder / "victim"
        self.victim.mkdir(exist_ok=after is not None)
        (self.victim / "precious").write_text("not ours")
        self.version: int = after.version if after else 0
        self.settings: dict[str, Any] = {
            "timeout_seconds": 20,
            "clone_above": "10k",
            **(after.settings if after else {}),
            **settings,
        }
        self.sealed: dict[str, Fingerprint] = dict(after.sealed) if after else {}
        self.outside = fingerprint(self.victim)
        self.complaints: list[str] = []
        self.exit_codes: dict[str, int] = {}
        self.seen: set[str] = set()

    # -- nights --------------------------------------------------------------------------------------------------

    def honest(self, *words: str) -> None:
        """The server is honest: the night must be right in all."""
        self.version += 1
        result = self.run(Sender(hostile.tree(self.version)), "run", "--json", *words)
        assert result.exit_code == 0, f"an honest night: {result}"
        self.look("an honest night")
        with self.scene.browsing():
            lines = _differences(hostile.tree(self.version), fingerprint(self.scene.slots()[1]), set())
        self.complain("an honest night", lines)
        self.verify("an honest night")

    def attacked(
        self, what: str, attack: Attack, *words: str, on: Collection[str] = hostile.TRANSFERS,
        breaks_off: int | None = None,
    ) -> Result:  # fmt: skip
        """A night in which the server attacks; what is broken afterwards is in `complaints`."""
        self.version += 1
        sender = Sender(hostile.tree(self.version), attack, on, breaks_off)
        before = list(self.sealed)
        result = self.run(sender, "run", "--json", *words)
        self.seen |= set(sender.seen)
        self.exit_codes[what] = result.exit_code
        new = [one for one in self.look(what) if one not in before]
        if result.exit_code in (0, 3):
            self.check_published(what, attack, new)
            self.verify(what)
        elif result.exit_code != 12:
            self.complain(what, [f"ended with {result}"])
        else:
            told = f"{result.mirror['error']} {result.mirror['hint']} {result.mirror['warnings']} {result.stderr}"
            if new:
                self.complain(what, [f"published {new}, and ended with 12"])
            elif (
                sender.seen
                and breaks_off is None
                and attack.names
                and not any(_shown(name) in told for name in attack.names)
            ):
                self.complain(what, [f"names nothing of what came: {result.mirror['error']}"])
        return result

    def healed(self, what: str, attack: Attack, damaged: str, *, by_night: bool = False) -> None:
        """A name of the newest snapshot is damaged; the server attacks while it is healed, by hand or by a night."""
        sender = Sender(hostile.tree(self.version), attack, (hostile.PROBE, hostile.NAMES))
        flip(self.scene.slots()[1] / damaged)
        words = ["verify", "--full", "--heal"]
        if by_night:
            assert self.scene.command("verify", "--full").exit_code == 14
            self.settings["verify"], words = {"heal": "auto"}, ["run"]
        for behave in (sender, Sender(hostile.tree(self.version))):
            result = self.run(behave, *words)
            self.exit_codes[what] = result.exit_code
            if result.exit_code not in (0, 3, 12, 14):
                self.complain(what, [f"ended with {result}"])
        self.seen |= set(sender.seen)
        self.look(what)

    def run(self, behave: Behave, *words: str) -> Result:
        """A command, while a server behaves."""
        with self.serve(behave) as settings:
            self.scene.configure(**{**self.settings, **settings})
            return self.scene.command(*words)

    def siege(
        self, choose: hostile.Choose, *words: str, on: Collection[str] = hostile.TRANSFERS,
        only: Collection[str] = (),
    ) -> None:  # fmt: skip
        """All attacks of a subject (or `only` some), one a night; an honest night; nothing may be broken."""
        for what in only or choose(1, self.victim):
            self.attacked(what, choose(self.version + 1, self.victim)[what], *words, on=on)
        self.end()

    def end(self) -> None:
        """An honest night, and the verdict."""
        self.honest("--full")
        left = [str(path) for path in self.scene.store.rglob("*") if "evil" in path.name]
        self.complain("in the end", [f"{path} is left on the store" for path in left[:10]])
        assert self.scene.leftovers() == []
        assert not self.complaints, "\n".join(self.complaints)

    # -- what is looked at ---------------------------------------------------------------------------------------

    def complain(self, what: str, lines: Sequence[str]) -> None:
        """Something was broken."""
        self.complaints += [f"{what}: {line}" for line in lines[:5]]

    def look(self, what: str) -> list[str]:
        """History and the world outside; returns the ids, newest first."""
        with self.scene.browsing():
            published = self.scene.published()
            for snapshot, path in published.items():
                now = fingerprint(path)
                lines = compare(self.sealed.setdefault(snapshot, now), now)
                self.complain(what, [f"HISTORY CHANGED, {path.name}: {line}" for line in lines])
                self.sealed[snapshot] = now
            self._look_around(what)
        self.complain(what, [f"OUTSIDE: {line}" for line in compare(self.outside, fingerprint(self.victim))])
        self.outside = fingerprint(self.victim)
        self.complain(what, [f"OUTSIDE: {os.fsdecode(path)} was made" for path in FORBIDDEN if os.path.lexists(path)])
        return list(published)

    def _look_around(self, what: str) -> None:
        """Nothing stands beside the slots that has no business there."""
        home = {path.name for path in self.scene.home.iterdir()} if self.scene.home.is_dir() else set()
        strange = {name for name in home if name not in ("by-date", ".snapmirror", "current") and name[:7] != "backup."}
        private = self.scene.home / ".snapmirror"
        strange |= {path.name for path in (private.iterdir() if private.is_dir() else ()) if "evil" in path.name}
        strange |= {path.name for path in self.scene.store.iterdir() if "evil" in path.name}
        self.complain(what, [f"OUTSIDE: {name} beside the slots" for name in sorted(strange)])

    def check_published(self, what: str, attack: Attack, new: Sequence[str]) -> None:
        """The published snapshot holds what was listed. A name that was asked for may be the server's latest."""
        if not new:
            self.complain(what, ["ended well without a snapshot"])
            return
        is_first = len(self.sealed) == 1
        asked = attack.names & (set(hostile.tree(self.version)) if is_first else hostile.planned(self.version))
        lines = _differences(hostile.tree(self.version), self.sealed[new[0]], asked)
        self.complain(what, [f"PUBLISHED: {line}" for line in lines])

    def verify(self, what: str) -> None:
        """What the record says is what is on the disk."""
        result = self.scene.command("verify", "--full")
        if result.exit_code != 0:
            self.complain(what, [f"VERIFY: {result}"])


def _differences(listed: Tree, found: Fingerprint, asked: Collection[bytes]) -> list[str]:
    """How a published tree is not the listed one. Of `asked` names the kind counts, and they may be missing."""
    lines = [f"{name!r} was never listed ({found[name].kind})" for name in sorted(found.keys() - listed.keys())]
    lines += [f"{name!r} is missing" for name in sorted(listed.keys() - found.keys() - set(asked))]
    groups: dict[int, set[bytes]] = {}
    for name, entry in listed.items():
        groups.setdefault(entry.group or -len(groups) - 1, set()).add(name)
    for name in sorted(listed.keys() & found.keys()):
        entry, mark = listed[name], found[name]
        if mark.kind != _kind(entry.mode):
            lines.append(f"{name!r} is a {mark.kind}")
        if name in asked:
            continue
        wanted = (stat.S_IMODE(entry.mode), entry.uid, entry.gid, entry.target, entry.mtime * 10**9)
        is_ = (mark.mode, mark.uid, mark.gid, mark.target, mark.mtime_ns)
        if wanted != is_:
            lines.append(f"{name!r} has {is_}, listed were {wanted}")
        if mark.kind == "file" and mark.size != len(entry.content):
            lines.append(f"{name!r} has {mark.size} bytes, listed were {len(entry.content)}")
        links = {one for one in mark.links if one not in asked}
        group = next((group for group in groups.values() if name in group), {name})
        if links - group:
            lines.append(f"{name!r} is one file with {sorted(links - group)}")
        if mark.xattrs:
            lines.append(f"{name!r} has {mark.xattrs}")
    return lines


def _kind(mode: int) -> str:
    kinds: dict[int, str] = {
        stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    }  # fmt: skip
    return kinds[stat.S_IFMT(mode)]


def _shown(name: bytes) -> str:
    """The part of a name that a sentence must hold."""
    return os.fsdecode(name.rstrip(b"/").rpartition(b"/")[2].partition(b"\n")[0])
