"""The folder of a store without an image: its path, its owner, and whether this user may write to it.

History belongs to the user whose nights made it. If root ran once on a user's store, that user's nights would find
files that they can neither link nor replace; so root is refused there before anything is written. Runs no program.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from snapmirror import machine
from snapmirror.errors import StorageError, StoreMissing

_PRIVATE = ".snapmirror"
RETIRED = ".snapmirror-retired"
"""Prefix of the names in a store that belong to retired histories."""
RETIREMENTS = f"{RETIRED}.json"
"""The file in a store that records them."""
_WRITTEN_TO = (
    ".",
    "record.json",
    "manifests",
    "sums",
    "hints",
    "changes",
    "staging",
    "slot",
    "parked",
)


def foreign_link(path: Path) -> Path | None:
    """The first symlink in a path that belongs to somebody other than root and this user, if any.

    Its owner can point it elsewhere at any time; rsync does not follow it.
    """
    trusted = {0, os.geteuid()}
    seen, place, ahead = 0, Path("/"), list(path.parts[1:])
    while ahead:
        part = ahead.pop(0)
        if part == "..":  # (in the target of a link)
            place = place.parent
            continue
        here = place / part
        try:
            status = here.lstat()
        except OSError:
            return None  # nothing from here on exists, so no link
        if not stat.S_ISLNK(status.st_mode):
            place = here
            continue
        if status.st_uid not in trusted:
            return here
        if (seen := seen + 1) > 40:  # as many as the kernel follows
            return None
        target = here.readlink()
        ahead = [part for part in target.parts if part != "/"] + ahead
        place = Path("/") if target.is_absolute() else place
    return None


def refuse_foreign_link(path: Path, key: str) -> None:
    """Raises StorageError when a path of the configuration leads through somebody else's link."""
    if (link := foreign_link(path)) is not None:
        owner = machine.user(link.lstat().st_uid)
        raise StorageError(
            f"{key} {path} leads through the symlink {link}, which {owner} can point elsewhere at any time",
            hint=f'set {key} = "{path.resolve()}", its present target',
        )


def found(path: Path) -> Path:
    """The real folder of the store. Raises StoreMissing, or StorageError when somebody else's link leads there."""
    refuse_foreign_link(path, "store.path")
    try:
        real = path.resolve(strict=True)
        if stat.S_ISDIR(real.stat().st_mode):
            return real
        what = "is not a folder"
    except (FileNotFoundError, NotADirectoryError):
        what = "is missing"
    except (OSError, RuntimeError) as error:  # (links in a circle)
        raise StorageError(
            f"the store {path} cannot be reached: {getattr(error, 'strerror', None) or error}",
            hint="is its disk mounted, and may this user enter the folder?",
        ) from error
    raise StoreMissing(f"the store {path} {what}", hint="is its disk mounted? 'snapmirror init' makes a new store")


def check_writable(path: Path, mirrors: Collection[str]) -> None:
    """Raises StorageError, naming the owner, if a night of this user would spoil somebody else's history, or fail.

    `path` is the real folder.
    """
    me = os.geteuid()
    owner = _owner(path, mirrors)
    if owner != me and (me != 0 or _keeps_owners(path)):
        raise _refused(path, owner, spoilt=owner == 0 and _is_partly_of(me, path))
    written = [path / name / part for name in mirrors for part in (".", _PRIVATE, "by-date")]
    closed = [one for one in (path, *written) if not os.access(one, os.W_OK | os.X_OK) and os.path.lexists(one)]
    if not closed:
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise StorageError(
            f"the store {path} cannot be written: its file system is read-only",
            hint="'dmesg' shows if an error made it so; else: mount --options remount,rw",
        )
    if me == 0 or closed[0].stat().st_uid == me:
        raise StorageError(
            f"{closed[0]} cannot be written, not even by {machine.user(me)}, who owns it",
            hint=f"'ls -ld' shows its mode; if it is immutable ('lsattr -d' shows an i): chattr -i {closed[0]}",
        )
    raise _refused(path, path.stat().st_uid, spoilt=False)


def _refused(path: Path, owner: int, *, spoilt: bool) -> StorageError:
    me, name, login = machine.user(os.geteuid()), machine.user(owner), machine.login(owner)
    sudo = "run it with sudo"
    if owner != 0:
        quoted = f"'#{login}'" if login.isdigit() else login
        sudo = f"run it as {name}: sudo -u {quoted} snapmirror …"
    if spoilt:
        return StorageError(
            f"{name} has written to the store {path}, which belongs to {me}",
            hint=f"as root: find {path} -user {login} -exec chown --no-dereference {machine.login(os.geteuid())} {{}} +"
            f"; then run it as {me} only",
        )
    if os.geteuid() == 0:
        return StorageError(
            f"the store {path} belongs to {name}; a run as root would make it unusable for {name}",
            hint=f"{sudo}; a store for root must be in a folder of root's",
        )
    return StorageError(
        f"the store {path} belongs to {name} and cannot be used by {me}",
        hint=sudo,
    )


def _owner(path: Path, mirrors: Collection[str]) -> int:
    """The owner of the history; this user, if no file says otherwise."""
    me = os.geteuid()
    for name in mirrors:
        for uid in _uids(path / name):
            if uid != me:
                return uid
            if me == 0:
                return me  # root's history may hold files of any user
    with suppress(PermissionError):  # then it cannot be written either
        owners = {next(_uids(folder), me) for folder in histories(path)}
        if owners:
            return me if me in owners else min(owners)
    return path.stat().st_uid if me == 0 else me


def _is_partly_of(user: int, path: Path) -> bool:
    return path.stat().st_uid == user or any(user in _uids(folder) for folder in histories(path))


def _uids(home: Path) -> Iterator[int]:
    """The owners of the files and folders that a mirror's nights write to."""
    for name in _WRITTEN_TO:
        with suppress(OSError):
            yield (home / _PRIVATE / name).lstat().st_uid
    for name in ("by-date", "."):
        with suppress(OSError):
            yield (home / name).lstat().st_uid


def histories(path: Path) -> list[Path]:
    """The folders of all mirrors in an open store, with and without a section in the configuration."""
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [path / name for name in names if not name.startswith(RETIRED) and _is_folder(path / name / _PRIVATE)]


def without_section(names: Collection[str], mirrors: Collection[str]) -> list[str]:
    """The histories among `names` that belong to no mirror of the configuration."""
    return sorted(set(names) - set(mirrors))


def of_no_mirror(name: str, path: Path) -> str:
    """The sentence about such a history in the store at `path`."""
    return f"{path / name} holds the history of a mirror {name!a} that has no section in the configuration"


OF_NO_MIRROR = (
    "to go on with it, give a [[mirror]] that name; if a mirror was renamed and has no snapshot yet, "
    "rename the folder instead (mv, in the open store); to remove it: snapmirror retire NAME"
)
"""What can be done about it."""


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, by whatever name: also through symlinks and bind mounts."""
    if not folder.exists():
        return path.resolve().is_relative_to(folder.resolve())
    real = path.resolve()
    return any(above.exists() and above.samefile(folder) for above in (real, *real.parents))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _keeps_owners(path: Path) -> bool:
    """Whether this user owns the files that he makes: some servers give all files to one user."""
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".snapmirror-") as file:
            return os.fstat(file.fileno()).st_uid == os.geteuid()
    except OSError:
        return True
