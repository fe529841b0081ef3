"""Restores names of a snapshot: into a folder, or to the server they came from. Runs rsync.

The same rsync command first shows what it would do, and then does it. It never deletes, and never writes to the store.
Folders above a name keep their attributes if they exist, and get those of the snapshot if they do not. A file with the
same size and time at the target is assumed to be the same; `checksum` reads it.
(A name of another type on the server is shown as new: rsync does not report that it replaces it.) A folder that the
user names as the target keeps its own owner, mode and times. The files that decide who may log in are written last.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field

from snapmirror import environment
from snapmirror.config import Config
from snapmirror.errors import SnapmirrorError, StorageError, TransferError, UsageError
from snapmirror.folder import is_inside
from snapmirror.history import login_files, room
from snapmirror.history.histories import Found
from snapmirror.history.kept_times import Disk
from snapmirror.history.lookup import ancestors
from snapmirror.model import Progress, count, size
from snapmirror.snapshots.entry import BadLine, Entry, is_within, join, parent, parse
from snapmirror.snapshots.lines import Line
from snapmirror.sources import named_files, settings
from snapmirror.sources.conversation import conversation
from snapmirror.sources.limits import Flood
from snapmirror.tools import rsync, rsync_output

log = logging.getLogger("snapmirror.restore")

_AT_ONCE = 1 << 16  # bytes of what rsync prints
_NO_DIRLINKS = "option -K has been disabled"  # rrsync's words
NEW, OVERWRITTEN, ATTRIBUTES = "new", "overwritten", "attributes"


class Change(Struct, frozen=True):
    """The change of one name at the target."""

    kind: str
    path: bytes
    is_folder: bool


class Preview(Struct):
    """What a restore would do: how many names of each kind, and the first of them.

    `parents` are folders above the names that the target lacks; `login_files` decide who may log in to the server;
    `replaced` are folders that take the place of something else here, such as a symlink; `odd_times` have a time that
    the disk here cannot hold, and get the nearest one; `kept` are here already, but for such a time.
    """

    counts: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    parents: list[bytes] = field(default_factory=list)
    login_files: list[bytes] = field(default_factory=list)
    replaced: list[bytes] = field(default_factory=list)
    odd_times: list[bytes] = field(default_factory=list)
    kept: set[bytes] = field(default_factory=set)
    bytes: int = 0
    room: int = 0

    @property
    def names(self) -> int:
        """The number of all names."""
        return self.counts.total()


class Restore:
    """A restore of names of one snapshot into the folder `target`, or (None) back to the source."""

    def __init__(
        self,
        config: Config,
        found: Found,
        paths: Sequence[bytes],
        target: Path | None,
        *,
        checksum: bool = False,
        root_attributes: bool = False,
    ) -> None:
        self.config, self.found, self.paths = config, found, list(paths)
        self.checksum = checksum
        self.skipped = 0  # devices, which only root can make
        self._through_links = True  # of a folder: rsync may be asked to take a symlink to one for it
        self.target = target
        local = Path(found.mirror.source.path) if found.mirror.source.kind == "local" else None
        self.place = self.target or local
        if self.place is not None:
            self._check_place(self.place)
        if self.target is not None and self.target.exists() and not root_attributes and self.paths == [b"."]:
            self.paths = top_names(found)
        self.is_remote = self.place is None
        self.where = f"{self.target}" if self.target else f"{found.mirror.source}"

    # --- never into the store

    def _check_place(self, place: Path) -> None:
        """Raises UsageError if the target lies in the store, also through symlinks and bind mounts."""
        for path in [b".", *_above(self.paths)]:
            full = Path(os.fsdecode(join(os.fsencode(place), path)))
            if not full.exists() and full != place:
                continue
            if is_inside(full, self.config.store.path):
                raise UsageError(f"{full} lies inside the store", hint="restore to another folder and copy from there")
        if place.exists() and not place.is_dir():
            raise UsageError(f"{place} is not a folder", hint="name a folder; it is made if it does not exist")

    def _protected(self) -> list[str]:
        """The store, and its image, if they lie below the target."""
        if self.place is None:
            return []
        store = [self.config.store.path, *([self.config.image.file] if self.config.image else [])]
        root = self.place.resolve()
        below = [path.resolve() for path in store if path.resolve().is_relative_to(root)]
        return [f"/{path.relative_to(root)}" for path in below]

    def _has_other_names(self, kind: str, entry: Entry) -> int | None:
        """The inode whose attributes would be changed in place, if the store may share it."""
        if self.place is None or kind != ATTRIBUTES or entry.is_directory:
            return None
        try:
            status = os.lstat(join(os.fsencode(self.place), entry.path))
        except OSError:
            return None
        shared = status.st_nlink > 1 and status.st_dev == self.config.store.path.stat().st_dev
        return status.st_ino if shared else None

    def _check_shared(self, suspects: dict[int, bytes]) -> None:
        """Attributes are set in place: this refuses an inode that has any name in the store."""
        if not suspects:
            return
        inode = _named_in(self.config.store.path, set(suspects))
        if inode is not None:
            raise UsageError(
                f"{os.fsdecode(suspects[inode])!r} in {self.place} is a hard link into the store",
                hint="restore to an empty folder",
            )

    # --- what would happen

    def preview(self, most: int | None) -> Preview:
        """Let rsync show what it would do; keep `most` names (None: all). Raises SnapmirrorError."""
        if self.target is None:
            named_files.check(self.found.mirror)
        seen, found_at = Preview(), self.found.mirror.source.path
        suspects: dict[int, bytes] = {}
        with self._trial() as target, self._disk() as disk:
            if above := _above(self.paths):
                seen.parents = self._parents(above, target)
            for code, entry in self._lines(self.paths, target, dry_run=True):
                if disk is not None and disk.has_nearest(code, entry):
                    seen.kept.add(entry.path)
                    continue
                kind = self._kind(code, entry)
                if disk is not None and not disk.holds(entry):
                    seen.odd_times.append(entry.path)
                if (inode := self._has_other_names(kind, entry)) is not None:
                    suspects[inode] = entry.path
                seen.counts[kind] += 1
                if kind == OVERWRITTEN and entry.is_directory:
                    seen.replaced.append(entry.path)
                if self.is_remote and login_files.is_one(entry.path, found_at):
                    seen.login_files.append(entry.path)
                if most is None or len(seen.changes) < most:
                    seen.changes.append(Change(kind, entry.path, entry.is_directory))
                if entry.kind == b"f" and entry.leader is None and kind != ATTRIBUTES:
                    seen.bytes += entry.size
                    seen.room += room.taken(join(os.fsencode(self.found.tree), entry.path), entry.size)
        self._check_shared(suspects)
        return seen

    def _parents(self, above: Sequence[bytes], target: Path | None) -> list[bytes]:
        """Which of the folders above the names are missing at the target. Raises UsageError for one that is a symlink.

        A key that rrsync restricts to a folder may not use --keep-dirlinks: then all that is no folder is refused.
        """
        try:
            missing = self._missing(above, target)
        except TransferError as error:
            if not self.is_remote or _NO_DIRLINKS not in error.message:
                raise
            self._through_links = False
            if others := self._missing(above, target, through_links=False, existing=True):
                raise self._in_the_way(others[0], "a symlink, or a file,") from None
            return self._missing(above, target, through_links=False)
        self._check_links(above, target, missing)
        return missing

    def _missing(
        self, above: Sequence[bytes], target: Path | None, *, through_links: bool = True, existing: bool = False
    ) -> list[bytes]:
        """Which of the folders above the names are not folders at the target; `existing`: but something else."""
        lines = self._lines(
            above, target, dry_run=True, folders_only=True, through_links=through_links, existing=existing
        )
        return [entry.path for code, entry in lines if code[2:3] == b"+"]

    def _in_the_way(self, path: bytes, what: str) -> UsageError:
        return UsageError(
            f"{os.fsdecode(path)!r} is a folder in {self.found.snapshot.id}, but {what} in {self.where}",
            hint="restore with --to into another folder, and move the names from there to where the symlink leads",
        )

    def _check_links(self, above: Sequence[bytes], target: Path | None, missing: Sequence[bytes]) -> None:
        """Raises UsageError if a folder above a name is a symlink at the target.

        rsync would refuse to write behind it, or put a folder in its place.
        """
        if self.place is None:
            links = [path for path in self._missing(above, target, through_links=False) if path not in missing]
        else:
            links = [path for path in above if (self.place / os.fsdecode(path)).is_symlink()]
        if links:
            raise self._in_the_way(links[0], "a symlink")

    @contextmanager
    def _trial(self) -> Iterator[Path | None]:
        """The target for a dry run: an empty folder replaces one that does not exist yet."""
        if self.target is None or self.target.exists():
            yield self.target
        else:
            with tempfile.TemporaryDirectory(prefix="snapmirror-") as folder:
                yield Path(folder) / "nothing"

    def _kind(self, code: bytes, entry: Entry) -> str:
        if code[2:3] != b"+":
            return ATTRIBUTES if code[:1] == b"." else OVERWRITTEN
        if self.place is not None and entry.path != b".":  # rsync calls a name new if it replaces another type
            with suppress(OSError):
                mode = os.lstat(join(os.fsencode(self.place), entry.path)).st_mode
                return ATTRIBUTES if stat.S_ISDIR(mode) and entry.is_directory else OVERWRITTEN
        return NEW

    def check_room(self, preview: Preview) -> None:
        """Raises StorageError if the target has too little room."""
        if self.place is None:
            return
        existing = self._existing(self.place)
        status = os.statvfs(existing)
        free = status.f_bavail * status.f_frsize
        if preview.room > free:
            raise StorageError(
                f"the restore needs {size(preview.room)}, but {existing} has only {size(free)} left",
                hint="restore to another disk, or less at once",
            )

    # --- doing it

    def run(self, preview: Preview, progress: Progress) -> int:
        """Restore what the preview showed; return the number of names. Raises SnapmirrorError."""
        if self.target is not None:
            try:
                self.target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"{self.target} cannot be made: {error.strerror}") from error
        log.info("restoring %s of %s to %s", count(preview.names, "name"), self.found.snapshot.id, self.where)
        progress.begin(f"restoring to {self.where}", names=preview.names, size=preview.bytes)
        done = 0
        try:
            if preview.parents:
                self._make(preview.parents)
            last = preview.login_files
            for _, entry in self._lines(self.paths, self.target, without_login_files=bool(last)):
                if entry.path in preview.kept:
                    continue
                done += 1
                progress.advance(1, entry.size if entry.kind == b"f" and entry.leader is None else 0)
            if preview.parents:  # again: their times, after the last change in them
                self._make(preview.parents)
            for _, entry in self._lines(self._with_folders(last), self.target) if last else ():
                done += entry.path in last
        finally:
            progress.end()
        return done

    def _make(self, folders: Sequence[bytes]) -> None:
        list(self._lines(folders, self.target, folders_only=True, through_links=self._through_links))

    def _with_folders(self, paths: Sequence[bytes]) -> list[bytes]:
        """Names together with the folders above them, if these are restored as well, so that they get their times."""
        folders = {folder for folder in map(parent, paths) if self._is_asked_for(folder)}
        alone = [path for path in paths if parent(path) not in folders]
        return [*sorted(folders), *alone]

    def _is_asked_for(self, path: bytes) -> bool:
        return any(one == b"." or is_within(path, one) for one in self.paths)

    @contextmanager
    def _disk(self) -> Iterator[Disk | None]:
        """The disk of the target; None if that is another machine's."""
        if self.place is None:
            yield None
            return
        with closing(Disk(self.place, self._existing(self.place))) as disk:
            yield disk

    @staticmethod
    def _existing(place: Path) -> Path:
        return next(folder for folder in (place, *place.parents) if folder.exists())

    def _lines(
        self,
        paths: Sequence[bytes],
        target: Path | None,
        *,
        dry_run: bool = False,
        folders_only: bool = False,
        through_links: bool = True,
        existing: bool = False,
        without_login_files: bool = False,
    ) -> Iterator[tuple[bytes, Entry]]:
        """rsync's item and the entry of each name that it changes, or would."""
        with environment.temporary_file() as names:
            names.write(b"".join(b"./" + path + b"\0" for path in paths))  # rsync reads a leading # as a comment
            names.seek(0)
            mirror = self.found.mirror
            argv = rsync.back_argv(
                settings.location(mirror), settings.options(mirror), self.found.tree, target,
                dry_run=dry_run, folders_only=folders_only, through_links=through_links, existing=existing,
                checksum=self.checksum, protected=self._protected(),
                left_out=login_files.patterns(mirror.source.path) if without_login_files else (),
            )  # fmt: skip
            writable = () if self.is_remote else None  # a hostile server gets files, and nothing else
            flood = Flood(f"restoring to {self.where}")
            with conversation(argv, flood, stdin=names, writable=writable) as talk:
                for block in talk.blocks(_AT_ONCE):
                    for line in block:
                        if rsync_output.is_entry(line):
                            try:
                                one = _entry(line)
                            except BadLine:
                                continue  # a message of the server, to be ignored
                            yield line[:11], one
                        elif line.startswith(b"skipping ") and not dry_run:
                            self.skipped += 1
        if talk.code != rsync_output.OK:
            raise self._failure(talk.code, talk.stderr, dry_run=dry_run)

    def _failure(self, code: int, stderr: bytes, *, dry_run: bool) -> SnapmirrorError:
        what = f"restoring to {self.where}"
        complaints = rsync_output.complaints(stderr, most=3)
        detail = f": {'; '.join(complaints)}" if complaints else ""
        if rsync_output.is_full(stderr):
            return StorageError(f"{what}: no room is left there{detail}", hint="make room and run it again: it goes on")
        if b"read-only server" in stderr or b"module is read only" in stderr:  # rrsync -ro, or a daemon's setting
            return TransferError(
                f"{what}: the server allows only reading{detail}",
                hint="allow writing for the restore ('snapmirror help restore-server'), or restore with --to",
            )
        if code == rsync_output.PARTIAL and dry_run:
            return TransferError(
                f"{what}: not everything can be restored{detail}",
                hint="nothing was written; if something is in the way, move it away",
            )
        if code == rsync_output.PARTIAL:
            return TransferError(f"{what}: not everything could be restored{detail}", hint="the rest is restored")
        return rsync_output.failure(code, stderr, what)


def top_names(found: Found) -> list[bytes]:
    """All names in the root of a snapshot."""
    with os.scandir(found.tree) as names:
        return sorted(os.fsencode(one.name) for one in names)


def _above(paths: Sequence[bytes]) -> list[bytes]:
    """The folders above these paths, outer ones first."""
    return list(dict.fromkeys(folder for path in paths for folder in ancestors(path)))


def _entry(line: bytes) -> Entry:
    """A further name of a group that only changes its attributes comes without its leader; a group may be unknown."""
    line = line.replace(b"|DEFAULT|", b"|0|", 1)
    if line[:1] == b"h" and b"| => " not in line:
        line = b"." + line[1:]
    return parse(Line(line))


def _named_in(store: Path, inodes: set[int]) -> int | None:
    """The first of these inodes that has a name in the store. Reads only its folders, which hold the numbers."""
    for folder, _, _, descriptor in os.fwalk(store):
        with os.scandir(descriptor) as entries:
            for number, entry in enumerate(entries):
                if entry.inode() in inodes and not entry.is_dir(follow_symlinks=False):
                    return entry.inode()
                if number == 0 and entry.stat(follow_symlinks=False).st_ino != entry.inode():  # (some overlays)
                    raise StorageError(f"the file system of {folder} does not show which files are the same")
    return None
