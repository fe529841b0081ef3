"""The server that is backed up: a tree made from a seed, and what one night changes in it.

No programs. Same numbers, same tree and same nights, whatever is measured on them.

The tree: nested folders, about seven deep; between none and some hundreds of files in a folder (log-normal); files of
0.2 to 9 KB (log-normal, median 1.5 KB), no two alike, text that compresses as logs do; six owners, three modes, times
to the nanosecond in the three years before. Only files and folders: links of both kinds are a matter of the tests.

A night, by number of files touched: 60 % modified (a third of them appended to, the rest rewritten), 12 % added,
10 % deleted, 8 % renamed (half of them into another folder), 10 % attributes only (half mode, half owner). 90 % of
all of them happen in the hot folders, 2 % of the folders, which stay the same from night to night as mail spools
and log folders do; the rest is spread evenly over the others. No file is touched twice in a night.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]  # a cached tree is of no use to another one
_START = 1_750_000_000  # the first night, in seconds since 1970
_DAY = 86_400
_OWNERS = (0, 0, 0, 33, 1000, 1001, 1002, 65534)
_MODES = (0o644, 0o644, 0o640, 0o600)
_MIX = (("modified", 0.60), ("added", 0.12), ("deleted", 0.10), ("renamed", 0.08), ("attributes", 0.10))
_WORDS = tuple(
    "mail log cache data index report invoice photo session user order backup config module page draft archive "  # noqa: SIM905
    "note queue spool build test main util table image letter client project release theme locale plugin asset".split()
)
_ENDINGS = ("txt", "log", "py", "html", "json", "conf", "eml", "css", "php", "xml")


@dataclass(frozen=True)
class Shape:
    """How big the tree is, and which of all trees of that size."""

    files: int
    dirs: int
    seed: int = 1

    @property
    def name(self) -> str:
        return f"{self.files}-{self.dirs}-{self.seed}"


class Layout:
    """The names of a tree: `folders[i]` is a relative path, `count[i]` the number of files that it holds."""

    def __init__(self, shape: Shape) -> None:
        rng = random.Random(f"layout {shape.seed}")
        self.folders = [f"{rng.choice(_WORDS)}-0"]
        for number in range(1, shape.dirs):
            parent = int(number * rng.random() ** 2)  # older folders have more children: wide at the top
            above = self.folders[parent] + "/" if number > 12 else ""
            self.folders.append(f"{above}{rng.choice(_WORDS)}-{number:x}")
        weights = list(accumulate(rng.lognormvariate(0, 1) for _ in self.folders))
        ends = [round(shape.files * weight / weights[-1]) for weight in weights]
        self.count = [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def names(self, folder: int) -> list[str]:
        rng = random.Random(folder)
        return [f"{rng.choice(_WORDS)}{n:04d}.{rng.choice(_ENDINGS)}" for n in range(self.count[folder])]


class Text:
    """File contents, cut from one long text, each with a number of its own in front."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"text {seed}")
        self._pool = " ".join(f"{rng.choice(_WORDS)}{rng.randrange(4096):x}" for _ in range(100_000)).encode()

    def some(self, rng: random.Random, median: float = 1500) -> bytes:
        size = min(9000, max(200, int(rng.lognormvariate(0, 0.9) * median)))
        start = rng.randrange(len(self._pool) - size)
        return b"%016x\n" % rng.getrandbits(64) + self._pool[start : start + size - 17]


def build(root: Path, shape: Shape) -> None:
    """Make the tree in an existing folder, on all processors."""
    layout = Layout(shape)
    before = os.umask(0)
    try:
        _build(root, shape, layout)
    finally:
        os.umask(before)
    rng = random.Random(f"folder times {shape.seed}")
    root.chmod(0o755)
    for folder in [*layout.folders, "."]:
        os.utime(root / folder, ns=_time(rng, -1))


def _build(root: Path, shape: Shape, layout: Layout) -> None:
    for folder in layout.folders:  # parents stand before their children
        (root / folder).mkdir(mode=0o755)
    parts = os.cpu_count() or 1
    with ProcessPoolExecutor(parts) as pool:
        for job in [pool.submit(_fill, root, shape, part, parts) for part in range(parts)]:
            job.result()


def _fill(root: Path, shape: Shape, part: int, parts: int) -> None:
    layout, text = Layout(shape), Text(shape.seed)
    for number in range(part, shape.dirs, parts):
        rng = random.Random(f"files {shape.seed} {number}")
        owner = rng.choice(_OWNERS)
        folder = os.open(root / layout.folders[number], os.O_RDONLY | os.O_DIRECTORY)
        for name in layout.names(number):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rng.choice(_MODES), dir_fd=folder)
            os.write(file, text.some(rng))
            os.utime(file, ns=_time(rng, -1))
            if owner:
                os.fchown(file, owner, owner)
            os.close(file)
        os.close(folder)


def _time(rng: random.Random, night: int) -> tuple[int, int]:
    """Access and modification time: some time of that night, or, for night -1, of the three years before."""
    before = rng.randrange(1000) if night < 0 else -night
    moment = (_START - before * _DAY + rng.randrange(_DAY)) * 10**9 + rng.randrange(10**9)
    return moment, moment


class Server:
    """A built tree that lives on: `night` changes it, each time differently, for all runs alike."""

    def __init__(self, root: Path, shape: Shape, *, changes: int, hot_dirs: int, hot_share: float = 0.9) -> None:
        layout = Layout(shape)
        self._root, self._seed, self._changes = root, shape.seed, changes
        self._folders = layout.folders
        self._files = [layout.names(number) for number in range(shape.dirs)]
        self._text = Text(shape.seed)
        rng = random.Random(f"hot {shape.seed}")
        average = shape.files / shape.dirs
        roomy = [number for number, count in enumerate(layout.count) if count >= average]
        self._hot = sorted(rng.sample(roomy, max(1, min(hot_dirs, len(roomy)))))
        self._cold = sorted(set(range(shape.dirs)) - set(self._hot)) or self._hot
        self._hot_changes = round(changes * hot_share)

    def night(self, night: int) -> Counter[str]:
        """Change the tree; how many files of each kind were touched."""
        rng = random.Random(f"night {self._seed} {night}")
        kinds = [kind for kind, share in _MIX[1:] for _ in range(round(share * self._changes))]
        kinds += ["modified"] * (self._changes - len(kinds))
        rng.shuffle(kinds)
        touched: set[tuple[int, str]] = set()
        self._changed_folders: set[int] = set()
        for number, kind in enumerate(kinds):
            folders = self._hot if number < self._hot_changes else self._cold
            self._change(kind, folders, rng, night, number, touched)
        for folder in sorted(self._changed_folders):  # else two nights within a second look the same to rsync
            os.utime(self._root / self._folders[folder], ns=_time(rng, night))
        return Counter(kinds)

    def _change(
        self, kind: str, folders: list[int], rng: random.Random, night: int, number: int, touched: set[tuple[int, str]]
    ) -> None:
        new = f"{rng.choice(_WORDS)}-{night}-{number}.{rng.choice(_ENDINGS)}"
        if kind == "added":
            folder = rng.choice(folders)
            self._write(self._path(folder, new), rng, night)
            self._files[folder].append(new)
            touched.add((folder, new))
            self._changed_folders.add(folder)
            return
        folder, position = self._pick(folders, rng, touched)
        name = self._files[folder][position]
        path = self._path(folder, name)
        touched.add((folder, name))
        if kind == "modified":
            self._write(path, rng, night, append=rng.random() < 1 / 3)
        elif kind == "attributes":
            self._attributes(path, rng)
        else:
            self._files[folder][position] = self._files[folder][-1]
            self._files[folder].pop()
            self._changed_folders.add(folder)
            if kind == "deleted":
                path.unlink()
            else:
                target = folder if rng.random() < 0.5 else rng.choice(folders)
                path.rename(self._path(target, new))
                self._files[target].append(new)
                touched.add((target, new))
                self._changed_folders.add(target)

    def _pick(self, folders: list[int], rng: random.Random, touched: set[tuple[int, str]]) -> tuple[int, int]:
        """A file that this night has not touched yet."""
        for _ in range(10_000):
            folder = rng.choice(folders)
            if self._files[folder]:
                position = rng.randrange(len(self._files[folder]))
                if (folder, self._files[folder][position]) not in touched:
                    return folder, position
        raise ValueError("more changes than the folders have files; ask for fewer, or for more hot folders")

    def _path(self, folder: int, name: str) -> Path:
        return self._root / self._folders[folder] / name

    def _write(self, path: Path, rng: random.Random, night: int, *, append: bool = False) -> None:
        with path.open("ab" if append else "wb") as file:
            file.write(self._text.some(rng, 500 if append else 1500))
            file.flush()
            os.utime(file.fileno(), ns=_time(rng, night))

    @staticmethod
    def _attributes(path: Path, rng: random.Random) -> None:
        old = path.stat()
        if rng.random() < 0.5:
            path.chmod(old.st_mode ^ 0o040)
        else:
            os.chown(path, 1000 + (old.st_uid + 1) % 5, -1)
