"""snapmirror as its users run it: a real process, a configuration file, exit codes and JSON.

A `Scene` is one store with one source under a folder of its own, and everything that a test asks about it: run a
night, what is published, what is left over (processes, mounts, loop devices). Every process of a scene carries
`SNAPMIRROR_TEST_SCENE` in its environment, so its descendants can be told from everybody else's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support import fork_server
from tests.support.everyone import python_for_everyone
from tests.support.fingerprint import Fingerprint, compare, fingerprint

REPOSITORY = fork_server.REPOSITORY
SCENE_VARIABLE = "SNAPMIRROR_TEST_SCENE"
ID = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
LONG = bool(os.environ.get("SNAPMIRROR_TEST_LONG"))


@dataclass(frozen=True)
class Result:
    """How a command ended. `exit_code` is negative for a signal."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def mirror(self) -> dict[str, Any]:
        """The only mirror of `run --json`."""
        [mirror] = self.json["mirrors"]
        assert isinstance(mirror, dict)
        return mirror

    def __str__(self) -> str:
        return f"exit code {self.exit_code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass
class Scene:
    """One configuration, its store and its source, under `folder`."""

    folder: Path
    mirror: dict[str, Any] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    name: str = "web"
    user: int | None = None
    zfs: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)  # further ones, such as "copy"

    def __post_init__(self) -> None:
        self.store = self.folder / "store"
        self.source = self.folder / "source"
        self.state = self.folder / "state"
        self.config = self.folder / "snapmirror.toml"
        self.programs = self.folder / "bin"
        self.scratch = self.folder / "tmp"
        for path in (self.store, self.source, self.state, self.programs, self.scratch):
            path.mkdir(parents=True, exist_ok=True)
            if self.user is not None:
                os.chown(path, self.user, self.user)
        self.store.chmod(0o700)  # as init makes it: a run would say that it was open to others
        self.configure()

    # -- configuration -------------------------------------------------------------------------------------------

    def configure(self, keep_last: int = 3, **mirror: Any) -> None:
        """(Re)write the configuration. Guards are off unless `guard` is given: random nights change everything."""
        self.mirror.update(mirror)
        entry = {"name": self.name, "source": f"{self.source}/", **self.mirror}
        guard = entry.pop("guard", {"max_deleted": "100%", "max_changed": "100%", "at_least": 1_000_000_000,
                                    "max_lost": "100%", "warn_lost": "100%", "max_scrambled": "100%",
                                    "max_expired": 1_000_000, "min_free": "1M", "min_free_inodes": 10})  # fmt: skip
        retention = {"keep_last": keep_last, "keep_at_least_days": 0, **entry.pop("retention", {})}
        verify = entry.pop("verify", {})
        backend = "zfs" if self.zfs else None
        lines = ["[store]", *_toml({"path": str(self.store), "state_dir": str(self.state), "backend": backend})]
        if self.image:
            lines += ["[image]", *_toml(self.image)]
        if self.zfs:
            lines += ["[zfs]", *_toml(self.zfs)]
        for name, values in self.sections.items():
            lines += [f"[{name}]", *_toml(values)]
        lines += ["[[mirror]]", *_toml(entry), "[mirror.guard]", *_toml(guard)]
        lines += ["[mirror.retention]", *_toml(retention), "[mirror.verify]", *_toml(verify)]
        self.config.write_text("\n".join(lines) + "\n")
        self.config.chmod(0o644)

    def argv(self, *words: str | Path) -> list[str]:
        verbose = ["--verbose"] if os.environ.get("SNAPMIRROR_TEST_VERBOSE") else []
        python = sys.executable if self.user is None else python_for_everyone()[0]
        return [python, "-m", "snapmirror", *verbose, "--config", str(self.config), *map(str, words)]

    def environ(self) -> dict[str, str]:
        usual = fork_server.environment_of_commands()
        return {
            **usual,
            "PATH": f"{self.programs}:{usual['PATH']}",
            "PYTHONPATH": usual["PYTHONPATH"] if self.user is None else python_for_everyone()[1],
            "TMPDIR": str(self.scratch),
            SCENE_VARIABLE: str(self.folder),
            **self.environment,
        }

    def fake_program(self, name: str, text: str) -> Path:
        """A real small program that stands before the other ones on PATH."""
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    # -- running -------------------------------------------------------------------------------------------------

    def start(self, *words: str | Path, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a command in a session of its own. `under` is a program that runs it, such as strace."""
        return subprocess.Popen(
            [*under, *self.argv(*words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="surrogateescape", env=self.environ(), cwd="/", start_new_session=True,
            user=self.user, group=self.user, extra_groups=None if self.user is None else [],
        )  # fmt: skip

    def finish(self, process: subprocess.Popen[str], timeout: float = 300) -> Result:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise AssertionError(f"did not end within {timeout:g} s\n{Result(-9, stdout, stderr)}") from None
        return _no_bug(Result(process.returncode, stdout, stderr))

    def command(self, *words: str | Path, under: Sequence[str] = ()) -> Result:
        argv, environment = self.argv(*words), self.environ()
        may_fork = self.user is None and (not under or under[0] == "strace")
        server = fork_server.server_for([*argv, *under[:1]], environment) if may_fork else None
        if server is None:
            return self.finish(self.start(*words, under=under))
        try:
            ended = server.run(argv, environment, 300, under)
        except fork_server.StillRunning as late:
            raise AssertionError(f"did not end within 300 s\n{_result(late.ended)}") from None
        return _no_bug(_result(ended))

    def night(self, *words: str, expect: Sequence[int] | None = (0,)) -> Result:
        """`run --json`; ids have whole seconds, so two nights within one second must not collide by our doing."""
        result = self.command("run", "--json", *words)
        assert expect is None or result.exit_code in expect, str(result)
        return result

    # -- what is there -------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self.store / self.name

    def slots(self) -> dict[int, Path]:
        """Published snapshots by slot number, as somebody who walks in sees them."""
        if not self.home.is_dir():
            return {}
        found = {entry.name: entry for entry in self.home.iterdir()}
        numbers = {int(name[7:]): path for name, path in found.items() if re.fullmatch(r"backup\.[1-9]\d*", name)}
        return dict(sorted(numbers.items()))

    def published(self) -> dict[str, Path]:
        """Published snapshots by id, newest first; asserts that numbers and dates tell the same story."""
        slots = self.slots()
        assert sorted(slots) == list(range(1, len(slots) + 1)), f"gap in the slots: {sorted(slots)}"
        dated = {}
        by_date = self.home / "by-date"
        if by_date.is_dir():
            for link in by_date.iterdir():
                assert ID.fullmatch(link.name), f"unexpected in by-date: {link.name!r}"
                target = str(link.readlink())
                assert re.fullmatch(r"\.\./backup\.\d+", target), f"{link.name} points to {target}"
                assert target[3:] not in dated, f"two dates point to {target}"
                dated[target[3:]] = link.name
        assert sorted(dated) == sorted(path.name for path in slots.values()), f"{dated} against {sorted(slots)}"
        ids = [dated[path.name] for path in slots.values()]
        assert ids == sorted(ids, reverse=True), f"slots are not in the order of their dates: {ids}"
        return {dated[path.name]: path for path in slots.values()}

    @contextmanager
    def browsing(self) -> Iterator[None]:
        """The store can be looked at: mounted read-only where it lives in an image, as it stands otherwise."""
        if not self.image and not self.zfs:
            yield
            return
        result = self.command("mount")
        assert result.exit_code == 0, str(result)
        try:
            yield
        finally:
            result = self.command("umount")
            assert result.exit_code == 0, str(result)

    def leftovers(self) -> list[str]:
        """Processes, mounts and loop devices that a finished command should not have left. Waits for them a moment."""
        deadline = time.monotonic() + 20
        while (found := [*self.processes(), *self._mounts(), *self._loops()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def processes(self) -> list[str]:
        """Processes of this scene that are still alive."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get(SCENE_VARIABLE) == str(self.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"process {process.pid}: {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found

    def kill_processes(self) -> None:
        """The end of a test: nothing of it may go on. Only processes that carry this scene's mark."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(SCENE_VARIABLE) == str(self.folder):
                    process.kill()
            except psutil.Error:
                continue

    def _mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [f"mount: {line}" for line in lines if str(self.folder) in line]

    def _loops(self) -> list[str]:
        backing = Path("/sys/block").glob("loop*/loop/backing_file")
        mine = (str(self.folder), str(self.image.get("file", self.folder)))
        found = []
        for path in backing:
            try:
                if any(place in path.read_text() for place in mine):
                    found.append(f"loop device: {path.parent.parent.name}")
            except OSError:
                continue
        return found

    def release(self) -> None:
        """Undo by hand what a killed run has left of an image, for tests that end there."""
        self.kill_processes()
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", mount.split()[5]], check=False)
        for device in self._loops():
            subprocess.run(["losetup", "--detach", f"/dev/{device.split()[-1]}"], check=False)


class History:
    """Remembers each sealed snapshot's fingerprint from the first moment it is seen, and holds the store to it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.sealed: dict[str, Fingerprint] = {}
        self.ids: list[str] = []  # as of the last check, newest first

    def check(self, *, where: str = "") -> list[str]:
        """Every published snapshot is what it was when first seen; returns the ids, newest first."""
        published = self.scene.published()
        for snapshot, path in published.items():
            now = fingerprint(path)
            lines = compare(self.sealed.setdefault(snapshot, now), now)
            assert not lines, f"history changed{where}: {snapshot} in {path.name}:\n" + "\n".join(lines)
        self.ids = list(published)
        return self.ids

    def check_wreck(self, source: Fingerprint) -> None:
        """After a kill at any moment: names may be in disorder, yet each snapshot folder is one that was sealed, or
        the complete new one."""
        for path in self.scene.slots().values():
            now = fingerprint(path)
            if now not in self.sealed.values():
                lines = compare(source, now, ignore=("xattrs",))
                assert not lines, f"{path.name} is neither an old snapshot nor the new one:\n" + "\n".join(lines)

    def check_newest(self, source: Fingerprint, *, full: bool = False) -> None:
        """The newest snapshot is the source; only an xattr that nothing else shows may wait for a full night."""
        slots = self.scene.slots()
        newest = fingerprint(slots[1])
        lines = compare(source, newest, ignore=() if full else ("xattrs",))
        assert not lines, "the newest snapshot differs from the source:\n" + "\n".join(lines)
        before = fingerprint(slots[2]) if 2 in slots else {}
        for path, mark in source.items():
            if newest[path].xattrs != mark.xattrs:
                owed = [name for name in mark.links if name in before and before[name].xattrs != source[name].xattrs]
                assert owed, f"{path!r}: xattrs {mark.xattrs} arrived as {newest[path].xattrs}"


def _result(ended: fork_server.Ended) -> Result:
    stdout, stderr = (text.decode(errors="surrogateescape") for text in (ended.stdout, ended.stderr))
    return Result(ended.exit_code, stdout, stderr)


def _no_bug(result: Result) -> Result:
    assert result.exit_code != 1 and "Traceback" not in result.stderr, f"a bug: {result}"
    return result


def _toml(values: Mapping[str, Any]) -> list[str]:
    """Keys and values as TOML: strings, numbers, booleans and lists are written as in JSON."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value is not None]
