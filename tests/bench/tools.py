"""The ways to back up that are compared, each as the command of one night.

Programs: rsync, cp, mv, rm, rsnapshot, borg, restic, python -m snapmirror.

- bare: `rsync -a --delete`, one copy, no history. What the others are measured against.
- rsnapshot: as Debian packages it: `cmd_cp` set, `sync_first` off, link_dest off, its own default rsync options.
- rotation: rm the oldest, mv each, `cp -al` the newest, rsync into it. The classic; it rewrites history.
- link-dest: rsync with `--link-dest` into an empty slot, then rm the oldest and mv each.
- borg: no encryption, lz4; `create`, then `prune` and `compact`. Its files cache lies on the store's image, so that
  it counts.
- restic: always encrypted; `backup`, then `forget` without `--prune`, which most people leave to the weekend: it
  frees nothing, and is measured at its best. Its cache lies on the store's image.
- snapmirror: this project, from its command line, a plain-directory store, hard links, ACLs and xattrs on.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.bench.images import BenchError

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where one way works: the tree that it reads, the disk that it writes, a folder for its settings, its history."""

    source: Path
    store: Path
    scratch: Path
    keep: int


class Tool(ABC):
    """One way to back up. `needs` are its programs by Debian package."""

    name: str
    needs: ClassVar[dict[str, str]]

    def __init__(self, place: Place) -> None:
        self.place = place

    def prepare(self) -> None:  # noqa: B027  (most need nothing)
        """Once, before the first night; not measured."""

    @abstractmethod
    def night(self, number: int) -> list[str]:
        """The command of that night."""

    def environment(self) -> dict[str, str]:
        """What it adds to the environment."""
        return {}

    def newest(self) -> Path | None:
        """The tree that must now equal the source; None where it cannot be walked."""
        return None

    def snapshots(self) -> int | None:
        """How many it holds; None where nobody counts."""
        return None

    @abstractmethod
    def version(self) -> str:
        """As the program names itself."""


class Bare(Tool):
    name = "bare"
    needs: ClassVar[dict[str, str]] = {"rsync": "rsync"}

    def night(self, number: int) -> list[str]:
        return ["rsync", "-a", "--delete", f"{self.place.source}/", f"{self.place.store}/mirror/"]

    def newest(self) -> Path | None:
        return self.place.store / "mirror"

    def version(self) -> str:
        return " ".join(_first_line("rsync", "--version").split()[:3])


class Rotation(Bare):
    name = "rotation"
    script = """
        cd {store}
        rm -rf backup.{keep}
        for i in $(seq {older} -1 1); do if [ -d backup.$i ]; then mv backup.$i backup.$((i + 1)); fi; done
        if [ -d backup.2 ]; then cp -al backup.2 backup.1; fi
        exec rsync -a --delete {source}/ backup.1/
    """

    def night(self, number: int) -> list[str]:
        place = self.place
        words = {
            "store": shlex.quote(str(place.store)),
            "source": shlex.quote(str(place.source)),
            "keep": place.keep,
            "older": place.keep - 1,
        }
        return ["sh", "-eu", "-c", self.script.format(**words)]

    def newest(self) -> Path | None:
        return self.place.store / "backup.1"

    def snapshots(self) -> int | None:
        return sum(1 for _ in self.place.store.glob("backup.*"))


class LinkDest(Rotation):
    name = "link-dest"
    script = """
        cd {store}
        rsync -a --delete --link-dest={store}/backup.1 {source}/ new/
        rm -rf backup.{keep}
        for i in $(seq {older} -1 1); do if [ -d backup.$i ]; then mv backup.$i backup.$((i + 1)); fi; done
        exec mv new backup.1
    """


class Rsnapshot(Tool):
    name = "rsnapshot"
    needs: ClassVar[dict[str, str]] = {"rsnapshot": "rsnapshot", "rsync": "rsync"}

    @property
    def _config(self) -> Path:
        return self.place.scratch / "rsnapshot.conf"

    def prepare(self) -> None:
        settings = [
            ("config_version", "1.2"),
            ("snapshot_root", f"{self.place.store}/"),
            ("no_create_root", "1"),
            ("cmd_cp", "/bin/cp"),
            ("cmd_rm", "/bin/rm"),
            ("cmd_rsync", "/usr/bin/rsync"),
            ("retain", "alpha", str(self.place.keep)),
            ("verbose", "2"),
            ("loglevel", "1"),
            ("lockfile", f"{self.place.scratch}/rsnapshot.pid"),
            ("backup", f"{self.place.source}/", "localhost/"),
        ]
        self._config.write_text("".join("\t".join(words) + "\n" for words in settings))

    def night(self, number: int) -> list[str]:
        return ["rsnapshot", "-c", str(self._config), "alpha"]

    def newest(self) -> Path | None:
        return self.place.store / "alpha.0/localhost" / self.place.source.relative_to("/")

    def snapshots(self) -> int | None:
        return sum(1 for _ in self.place.store.glob("alpha.*"))

    def version(self) -> str:
        return _first_line("rsnapshot", "version")


class Borg(Tool):
    name = "borg"
    needs: ClassVar[dict[str, str]] = {"borg": "borgbackup"}

    def environment(self) -> dict[str, str]:
        return {
            "BORG_REPO": str(self.place.store / "repository"),
            "BORG_BASE_DIR": str(self.place.store / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }

    def prepare(self) -> None:
        (self.place.store / "base").mkdir()
        _run(["borg", "init", "--encryption=none"], self.environment())

    def night(self, number: int) -> list[str]:
        script = f"""
            cd {shlex.quote(str(self.place.source))}
            borg create ::night-{number:04d} .
            borg prune --keep-last={self.place.keep}
            exec borg compact
        """
        return ["sh", "-eu", "-c", script]

    def version(self) -> str:
        return _first_line("borg", "--version")


class Restic(Tool):
    name = "restic"
    needs: ClassVar[dict[str, str]] = {"restic": "restic"}

    def environment(self) -> dict[str, str]:
        return {
            "RESTIC_REPOSITORY": str(self.place.store / "repository"),
            "RESTIC_CACHE_DIR": str(self.place.store / "cache"),
            "RESTIC_PASSWORD_FILE": str(self.place.scratch / "restic.key"),
        }

    def prepare(self) -> None:
        (self.place.scratch / "restic.key").write_text("of no use to anybody\n")
        _run(["restic", "init"], self.environment())

    def night(self, number: int) -> list[str]:
        script = f"""
            cd {shlex.quote(str(self.place.source))}
            restic backup --quiet .
            exec restic forget --quiet --keep-last={self.place.keep}
        """
        return ["sh", "-eu", "-c", script]

    def version(self) -> str:
        return " ".join(_first_line("restic", "version").split()[:2])


class Snapmirror(Tool):
    name = "snapmirror"
    needs: ClassVar[dict[str, str]] = {"rsync": "rsync"}
    python = sys.executable

    @property
    def _config(self) -> Path:
        return self.place.scratch / "snapmirror.toml"

    def prepare(self) -> None:
        self._config.write_text(
            f"""
            [store]
            path = "{self.place.store}"
            state_dir = "{self.place.scratch}/state"
            [[mirror]]
            name = "bench"
            source = "{self.place.source}"
            [mirror.retention]
            keep_last = {self.place.keep}
            keep_at_least_days = 0
            [mirror.verify]
            read_all_within_days = 0
            """
        )

    def night(self, number: int) -> list[str]:
        return [self.python, "-m", "snapmirror", "--config", str(self._config), "--quiet", "run"]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(REPOSITORY)}

    def newest(self) -> Path | None:
        return self.place.store / "bench/backup.1"

    def snapshots(self) -> int | None:
        return sum(1 for _ in (self.place.store / "bench").glob("backup.*"))

    def version(self) -> str:
        describe = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
        done = subprocess.run(describe, capture_output=True, text=True, check=False)
        python = _first_line(self.python, "--version")
        return f"snapmirror {done.stdout.strip() or 'from no repository'}, {python}"


TOOLS: dict[str, type[Tool]] = {
    tool.name: tool for tool in (Bare, Rsnapshot, Rotation, LinkDest, Borg, Restic, Snapmirror)
}


def difference(source: Path, copy: Path) -> list[str]:
    """What is not the same in the copy, in rsync's words; contents are read and compared."""
    flags = ["-aHAXn", "--delete", "--itemize-changes", "--checksum", "--modify-window=-1", "--numeric-ids"]
    return _run(["rsync", *flags, f"{source}/", f"{copy}/"], {}).splitlines()


def _run(argv: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        argv, env={**os.environ, **env}, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _first_line(*argv: str) -> str:
    return (_run(list(argv), {}).strip().splitlines() or [""])[0]
