"""What a night costs: the same nights, backed up in several ways, measured pair by pair.

    python -m tests.bench.nightly                                 # the whole comparison, some 40 minutes
    python -m tests.bench.nightly --tools bare,snapmirror --nights 3 --no-check      # a quick look while tuning
    python -m tests.bench.nightly --files 400000 --dirs 21000 --changes 1400 --hot-dirs 210 --baseline first.json
    python -m tests.bench.nightly --files 100000 --dirs 5250 --slow-iops 1500 --tools bare,rotation,snapmirror

Needs root. Programs: those of images.py (the disks) and tools.py (the ways), cp and rsync.

The server's tree (tree.py) stands on an ext4 image of its own, every way writes to an image of its own; all are
sparse files below --work, attached with direct I/O, mounted with the same options. A night changes the tree once,
then every way runs in turn, the first one a different one each night. Nights before the measured ones fill the
rings (keep + 2, so that what an expired snapshot costs is counted); they run with warm caches and unthrottled.
Before each measured run everything is written back and all caches are dropped: tree, store and programs are cold.
What is measured: measure.py. What the ways do: tools.py. After each measured night, uncounted, snapmirror's newest
snapshot is compared with the tree, contents included.

With --slow-iops the stores answer at most so many requests a second (qemu's throttle, loop buffered) while they are
measured.

The tree is built once for its numbers and kept in --work (`source-*.img`); delete it when done. Ends with 0, whether
the targets are reached or not; 1 when something failed or a comparison found a difference; 20 when something is
still mounted or attached.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import table
from tests.bench.images import (
    BenchError,
    Disk,
    command,
    disk,
    drop_caches,
    leftovers,
    make_image,
    release_leftovers,
)
from tests.bench.measure import Sample, measure
from tests.bench.tools import TOOLS, Place, Snapmirror, Tool, difference
from tests.bench.tree import VERSION, Server, Shape, build

_GIGABYTE = 10**9


class Nightly:
    """One benchmark: its disks below `folder`, its results as they come."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._shape = Shape(options.files, options.dirs, options.seed)
        self._logs = folder / "logs"
        self._logs.mkdir()
        (folder / "home").mkdir()
        self._tools: dict[str, Tool] = {}
        self._compared = 0
        self.results: dict[str, list[Sample]] = {name: [] for name in options.tools}
        self._warming: dict[str, list[Sample]] = {name: [] for name in options.tools}

    def run(self) -> None:
        """All nights, the warming ones on fast disks."""
        options = self._options
        _say(f"tree: {options.files:,} files in {options.dirs:,} folders, {options.changes:,} files touched a night")
        with _source(options.work, self._folder, self._shape, options.mount_options) as source:
            self._source = source
            tree = source.folder / "tree"
            server = Server(tree, self._shape, changes=options.changes, hot_dirs=options.hot_dirs)
            for name in options.tools:
                self._make_store(name)
                (self._folder / f"{name}.settings").mkdir()
                place = Place(tree, self._folder / name, self._folder / f"{name}.settings", options.keep)
                self._tools[name] = TOOLS[name](place)
            with self._stores(None) as disks:
                for name, tool in self._tools.items():
                    tool.prepare()
                    disks[name].settle()
                for night in range(options.warmup):
                    self._night(night, server, disks)
                if options.slow_iops is None:
                    self._measured_nights(server, disks)
            if options.slow_iops is not None:
                with self._stores(options.slow_iops) as disks:
                    self._measured_nights(server, disks)

    def _measured_nights(self, server: Server, disks: dict[str, Disk]) -> None:
        for night in range(self._options.warmup, self._options.warmup + self._options.nights):
            self._night(night, server, disks, measured=night - self._options.warmup + 1)
            if self._options.json:
                self._options.json.write_text(json.dumps(self.document(), indent=1) + "\n")

    def _night(self, night: int, server: Server, disks: dict[str, Disk], measured: int = 0) -> None:
        touched = server.night(night) if night else {}
        label = f"measured {measured} of {self._options.nights}" if measured else "warming"
        _say(f"night {night} ({label})" + "".join(f", {count} {kind}" for kind, count in sorted(touched.items())))
        names = list(self._tools)
        turn = night % len(names)
        for name in names[turn:] + names[:turn]:
            tool = self._tools[name]
            if measured:
                drop_caches()
            else:
                os.sync()
            log = self._logs / f"{name}-{night}.log"
            sample = measure(tool.night(night), disks[name], source=self._source, env=self._environment(tool), log=log)
            (self.results if measured else self._warming)[name].append(sample)
            _say(
                f"  {name:<10} {sample.seconds:7.2f} s, {sample.synced:7.2f} with sync, "
                f"read {sample.read / 1e6:6.1f} MB (and {sample.source_read / 1e6:.1f} of the source), "
                f"written {sample.written / 1e6:6.1f} MB, "
                f"itself {sample.own / 1e6:5.1f} MB, largest {sample.largest / 1e6:5.1f} MB"
            )
        for name, tool in self._tools.items():
            self._check(name, tool, night, bool(measured))

    def _check(self, name: str, tool: Tool, night: int, measured: bool) -> None:
        """The number of snapshots each night; the newest one against the tree where that was asked for."""
        expected = min(night + 1, self._options.keep)
        if tool.snapshots() not in (None, expected):
            raise BenchError(f"{name} holds {tool.snapshots()} snapshots instead of {expected} after night {night}")
        newest = tool.newest()
        if newest is None or not measured or not (self._options.check == "all" or isinstance(tool, Snapmirror)):
            return
        if self._options.check == "none":
            return
        lines = difference(tool.place.source, newest)
        if lines:
            shown = "\n  ".join(lines[:10])
            raise BenchError(f"{name}: {len(lines)} entries differ from the source after night {night}:\n  {shown}")
        self._compared += 1

    def _make_store(self, name: str) -> None:
        options = self._options
        size = max(8 * _GIGABYTE, options.files * 40_000)
        inodes = 2 * options.files + options.dirs * (options.keep + 3) + 100_000
        make_image(self._folder / f"{name}.img", size, options.filesystem, inodes)

    @contextmanager
    def _stores(self, slow_iops: int | None) -> Iterator[dict[str, Disk]]:
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(
                    disk(
                        self._folder / f"{name}.img",
                        self._folder / name,
                        options=self._options.mount_options,
                        slow_iops=slow_iops,
                    )
                )
                for name in self._tools
            }

    def _environment(self, tool: Tool) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        home = str(self._folder / "home")
        return {"PATH": path, "HOME": home, "LC_ALL": "C.UTF-8", "TZ": "UTC", **tool.environment()}

    def document(self) -> dict[str, Any]:
        """Everything, as it is written to --json."""
        return {
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "parameters": {key: _jsonable(value) for key, value in vars(self._options).items()},
            "tree_version": VERSION,
            "machine": _machine(),
            "versions": {name: tool.version() for name, tool in self._tools.items()},
            "compared_equal": self._compared,
            "warming": {name: [dataclasses.asdict(s) for s in samples] for name, samples in self._warming.items()},
            "results": {name: [dataclasses.asdict(s) for s in samples] for name, samples in self.results.items()},
        }


@contextmanager
def _source(work: Path, folder: Path, shape: Shape, options: str) -> Iterator[Disk]:
    """The server's tree on a disk of its own: a copy of the pristine image, which is built when there is none."""
    pristine, image = work / f"source-{shape.name}-{VERSION}.img", folder / "server.img"
    with (work / "source.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not pristine.exists():
            start = time.monotonic()
            for outdated in work.glob(f"source-{shape.name}-*.img"):
                outdated.unlink()
            make_image(image, max(_GIGABYTE, shape.files * 12_000), "ext4", shape.files * 5 // 4 + shape.dirs + 10_000)
            with disk(image, folder / "server", options=options) as new:
                (new.folder / "tree").mkdir()
                build(new.folder / "tree", shape)
            image.rename(pristine)
            _say(f"tree built in {time.monotonic() - start:.0f} s, kept as {pristine}")
    command("cp", "--sparse=always", pristine, image)
    with disk(image, folder / "server", options=options) as copy:
        yield copy


@contextmanager
def _scene(work: Path, *, keep_images: bool) -> Iterator[Path]:
    """A folder for this benchmark, with what dead ones left behind removed; gone and released at the end."""
    for old in work.glob("run-*"):
        if not Path("/proc", old.name.removeprefix("run-")).exists():
            release_leftovers(old)
            shutil.rmtree(old)
    folder = work / f"run-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        if leftovers(folder):
            release_leftovers(folder)
        if leftovers(folder):
            _say(f"still mounted or attached: {', '.join(leftovers(folder))}")
        elif keep_images:
            _say(f"images kept in {folder}; the next benchmark removes them")
        else:
            shutil.rmtree(folder)


def _interrupted(number: int, _: FrameType | None) -> None:
    """The first signal unwinds; those that follow must not disturb that."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.nightly", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--files", type=int, default=200_000)
    add("--dirs", type=int, default=10_500)
    add("--nights", type=int, default=5, help="measured nights")
    add("--keep", type=int, default=5, help="snapshots that each way keeps")
    add("--warmup", type=int, help="nights before the measured ones; keep + 2")
    add("--change", type=float, default=0.007, help="share of the files touched in a night")
    add("--changes", type=int, help="the same as a number of files")
    add("--hot-dirs", type=int, help="folders that see 90 %% of the changes; 2 %% of the folders")
    add("--seed", type=int, default=1)
    add("--filesystem", choices=("xfs", "ext4"), default="xfs", help="of the stores")
    add("--mount-options", default="noatime", help="of tree and stores")
    add("--tools", default="bare,rsnapshot,link-dest,rotation,borg,restic,snapmirror", help="which ways, in any order")
    add("--slow-iops", type=int, help="throttle the stores to so many requests a second")
    add("--python", default=sys.executable, help="the Python that runs snapmirror")
    add("--work", type=Path, default=Path("/var/tmp/snapmirror-bench"), help="on a plain local disk with room")
    add("--check", choices=("snapmirror", "all", "none"), default="snapmirror", help="whose newest snapshot to compare")
    add("--no-check", dest="check", action="store_const", const="none")
    add("--keep-images", action="store_true", help="leave the image files, not mounted")
    add("--json", type=Path, help="write everything measured here, after each night")
    add("--baseline", type=Path, help="such a file of another size, to compare reads and writes with")
    add("--from", dest="reprint", type=Path, help="measure nothing: print such a file")
    add("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args(arguments)
    options.tools = [name.strip() for name in options.tools.split(",") if name.strip()]
    for name in options.tools:
        if name not in TOOLS:
            parser.error(f"there is no way called {name}; there are {', '.join(TOOLS)}")
    options.work = options.work.resolve()
    options.warmup = options.keep + 2 if options.warmup is None else options.warmup
    options.changes = options.changes or round(options.files * options.change)
    options.hot_dirs = options.hot_dirs or max(1, round(options.dirs * 0.02))
    return options


def _ready(options: argparse.Namespace) -> None:
    """What would fail after a quarter of an hour fails here."""
    if os.geteuid() != 0:
        raise BenchError("loop devices and mounts need root")
    missing = {
        package
        for name in options.tools
        for program, package in TOOLS[name].needs.items()
        if shutil.which(program) is None
    }
    if missing:
        raise BenchError(f"not installed: apt-get install {' '.join(sorted(missing))}")
    options.work.mkdir(parents=True, exist_ok=True)
    needed = options.files * (15_000 + 9_000 * len(options.tools)) + _GIGABYTE
    free = shutil.disk_usage(options.work).free
    if free < needed:
        raise BenchError(f"{options.work} has {free / 1e9:.0f} GB free, this needs about {needed / 1e9:.0f}")


def main(arguments: list[str] | None = None) -> int:
    """Measure, then print."""
    options = _options(arguments)
    if options.reprint:
        _print(json.loads(options.reprint.read_text()), options)
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    Snapmirror.python = options.python
    bench, code, folder = None, 0, options.work / f"run-{os.getpid()}"
    try:
        _ready(options)
        with _scene(options.work, keep_images=options.keep_images):
            bench = Nightly(options, folder)
            bench.run()
    except BenchError as error:
        _say(f"failed: {error}")
        code = 1
    except KeyboardInterrupt as signal_name:
        _say(f"stopped by {signal_name}")
        code = 130
    if bench and any(bench.results.values()):
        document = bench.document()
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n")
        _print(document, options)
    return 20 if folder.exists() and leftovers(folder) else code


def _print(document: dict[str, Any], options: argparse.Namespace) -> None:
    parameters, machine = document["parameters"], document["machine"]
    body = table.rows(document["results"])
    print(
        f"\n{parameters['files']:,} files in {parameters['dirs']:,} folders, {parameters['changes']:,} touched, "
        f"keep {parameters['keep']}, {parameters['filesystem']}"
        + (f", stores slowed to {parameters['slow_iops']} requests a second" if parameters["slow_iops"] else "")
        + f"; medians of {max(map(len, document['results'].values()))} nights, cold caches; {document['taken_at']}"
    )
    print(f"{machine['processor']}, {machine['processors']} processors, {machine['memory_gb']} GB, {machine['system']}")
    print("; ".join(document["versions"].values()) + "\n")
    print(table.markdown(body) if options.markdown else table.plain(body))
    baseline = json.loads(options.baseline.read_text()) if options.baseline else None
    lines = table.verdicts(document, baseline)
    if lines:
        print("\n" + "\n".join(f"- {line}" if options.markdown else line for line in lines))
    firsts = {name: samples[0] for name, samples in document.get("warming", {}).items() if samples}
    if firsts:
        words = (f"{name} {s['synced']:.0f} s and {s['largest'] / 1e6:.0f} MB of memory" for name, s in firsts.items())
        print(f"\nThe first, full night (warm caches, not in the table): {', '.join(words)}.")
    if document["compared_equal"]:
        print(f"\n{document['compared_equal']} snapshots compared with the tree, contents included: all equal")


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    system = f"{platform.freedesktop_os_release()['PRETTY_NAME']}, kernel {platform.release()}"
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "system": system,
        "taken_with": f"Python {platform.python_version()}",
    }


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
