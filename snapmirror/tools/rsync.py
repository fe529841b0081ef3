"""rsync(1): its command lines. Its output and exit codes are in `rsync_output`.

Minimum 3.2.3; all of this was measured with 3.5.0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from snapmirror import process
from snapmirror.errors import UsageError
from snapmirror.tools import ssh

LIST_FORMAT = "%i|%B|%U|%G|%l|%M|%L//%n"
SENT_FORMAT = "%C|%i|%B|%U|%G|%l|%M|%L//%n"
"""No name contains two slashes: they mark where it begins."""

NOWHERE = "/.snapmirror-nothing/"
"""A folder that is never made: dry runs compare with it."""

Compress = Literal["auto", "zstd", "zlib", "off"]
_COMPRESS: dict[Compress, tuple[str, ...]] = {
    "auto": ("--compress", "--compress-level=3"),  # what both sides know: zstd since 3.2, else zlib
    "zstd": ("--compress-choice=zstd", "--compress-level=3"),
    "zlib": ("--old-compress", "--compress-level=1"),
    "off": (),
}

_POPT, _POPT_FOLDER = Path("/etc/popt"), Path("/etc/popt.d")


class Location(Struct, frozen=True):
    """Where a source is, and how to reach it.

    `argument` is the folder as rsync takes it, with the trailing slash that means "the contents of". Listed names are
    relative to the folder `base`, in which it is the folder `inside` ("" if both are the same). `login` and
    `rsync_path` are for ssh, `password_file` is for a daemon.
    """

    kind: Literal["ssh", "daemon", "local"]
    argument: str
    base: str
    inside: str
    login: ssh.Login
    rsync_path: str | None
    password_file: Path | None


class Options(Struct, frozen=True):
    """What to transfer and keep, and how: `timeout_seconds` without progress (0: no limit), `bandwidth_limit` in bytes
    per second, sizes in bytes.
    """

    hard_links: bool
    acls: bool
    xattrs: bool
    fake_super: bool
    timeout_seconds: int
    bandwidth_limit: int | None
    compress: Compress
    include: tuple[str, ...]
    include_from: Path | None
    exclude: tuple[str, ...]
    exclude_from: Path | None
    one_file_system: bool
    max_size: int | None
    min_size: int | None


def listing_argv(location: Location, options: Options, *, whole: bool) -> list[str]:
    """List the whole source: a dry run into a folder that does not exist, so that everything is new.

    `whole`: both rsyncs build the whole list before a line is printed (85 bytes an entry on the server), instead of
    exchanging it folder by folder, which takes a third more time.
    """
    return [
        *_common(options), "--dry-run", f"--out-format={LIST_FORMAT}",
        *(["--no-inc-recursive"] if whole else []),
        *(["--super"] if os.geteuid() else []),  # else an ordinary user does not get the groups
        *(["--info=skip1"] if options.max_size is not None or options.min_size is not None else []),  # for these
        *_filters(options), *connection(location), location.argument, NOWHERE,
    ]  # fmt: skip


def tree_argv(options: Options, tree: Path) -> list[str]:
    """List a snapshot's own tree in the same way, to make a new manifest of it."""
    fake = ["--fake-super"] if options.fake_super else []
    return [*_common(options), *fake, "--dry-run", f"--out-format={LIST_FORMAT}", f"{tree}/", NOWHERE]


def check_argv(location: Location, options: Options, tree: Path, *, listed: bool = False) -> list[str]:
    """Compare the source with a snapshot's tree itself, ACLs and xattrs included: lists what differs.

    `listed`: only of the names that are given to stdin (see `listed_name`, NUL after each).
    It must not meet a folder in the place of a file: rsync (3.5.0) waits for ever if that file has two names.
    """
    return [
        *_common(options, recursive=not listed), *_extras(options), "--dry-run", "--force", "--modify-window=-1",
        f"--out-format={LIST_FORMAT}",
        *(["--files-from=-", "--from0", "--no-implied-dirs", "--ignore-missing-args"] if listed else _filters(options)),
        *connection(location), location.base if listed else location.argument, f"{tree}/",
    ]  # fmt: skip


def transfer_argv(
    location: Location,
    options: Options,
    names: Path | None,
    target: Path,
    *,
    basis: Path | None,
    scratch: Path | None,
    partial: Path,
    patch: bool,
    contents: bool = False,
    compress: Compress,
    token: str,
) -> list[str]:
    """Fetch the names that the file `names` holds (NUL after each) into `target`; without one, only the root folder.

    (The root cannot be one of the names: rsync would take its contents along.)

    `target` must be a tree in which no name leads to an inode of a snapshot: rsync (3.5.0) accepts names that were not
    requested inside a folder that was requested. `basis` is the last snapshot: its data need not be sent again. It is
    --copy-dest, not --link-dest: every requested file gets its own inode, always. A local source is copied directly: a
    search for old versions would cost the store as much. `patch`: `target` holds an older version of the names, which
    is patched in place. Without `scratch` rsync makes its temporary files beside the names, at half the cost: else
    it (3.5.0) looks up that folder from the root on, four times for each file. `contents`: both sides read the files
    that are in `target` already, and compare them by checksum. `token` is a word that the server cannot know: its
    messages are printed among rsync's own lines, and could look like them.
    """
    return [
        *_common(options, recursive=False), *_extras(options),
        *([f"--files-from={names}", "--from0"] if names else ["--exclude=*"]),
        "--no-implied-dirs",            # folders that were not requested stay as they are
        "--ignore-missing-args",        # gone since the listing: a vanished file, not an error
        *(["--checksum"] if contents else []),
        *_landing(options, scratch, partial, patch=patch, compress=compress, token=token),
        *([f"--copy-dest={basis}"] if basis and not patch and location.kind != "local" else []),
        *connection(location), location.base if names else location.argument, f"{target}/",
    ]  # fmt: skip


def tree_transfer_argv(
    location: Location,
    options: Options,
    target: Path,
    *,
    below: int | None,
    partial: Path,
    patch: bool,
    compare: bool,
    compress: Compress,
    token: str,
) -> list[str]:
    """Fetch everything that `listing_argv` lists into `target`, but files of `below` bytes or more (None: all).

    No list of names has to be sent, read and checked. `compare`: `target` holds versions of some names, with which only
    differences are transferred, though a local source could copy them as a whole. The rest is as in `transfer_argv`.
    """
    limits = [size for size in (options.max_size, None if below is None else below - 1) if size is not None]
    return [
        *_common(options), *_extras(options),
        *_landing(options, None, partial, patch=patch, compress=compress, token=token),
        *(["--no-whole-file"] if compare and not patch else []),
        *_filters(replace(options, max_size=min(limits, default=None))),
        *connection(location), location.argument, f"{target}/",
    ]  # fmt: skip


def _landing(
    options: Options,
    scratch: Path | None,
    partial: Path,
    *,
    patch: bool,
    compress: Compress,
    token: str,
) -> list[str]:
    """How files are made here, and how their arrival is told."""
    fresh = [*([f"--temp-dir={scratch}"] if scratch else []), f"--partial-dir={partial}"]
    return [
        *(["--inplace", "--no-whole-file"] if patch else [*fresh, "--sparse"]),
        "--itemize-changes", "--itemize-changes",  # unchanged entries get a line as well
        "--modify-window=-1",           # compare nanoseconds too, for a folder changed within this second
        "--checksum-choice=md5",        # known to every rsync, and to md5sum; %C reports it
        f"--out-format={token}|{SENT_FORMAT}", "--stats", "--no-human-readable",
        *_COMPRESS[compress],
        *([f"--bwlimit={options.bandwidth_limit // 1024 or 1}"] if options.bandwidth_limit else []),
    ]  # fmt: skip


def spoil_time(file: bytes, mtime: int) -> None:
    """Set a wrong time on a file, so that rsync compares its content. `mtime`: the right one, seconds."""
    os.utime(file, (0, mtime ^ 1), follow_symlinks=False)


def listed_name(location: Location, path: bytes) -> bytes:
    """A name as the list for `transfer_argv` has it.

    A daemon is asked for its whole module: rsync 3.5.0's, without chroot, searches for listed names in the wrong folder
    if it is asked for one inside. Without ./ a name that begins with # or ; would be a comment.
    """
    return os.fsencode(f"{location.inside}/./" if location.inside else "./") + path


def back_argv(
    location: Location,
    options: Options,
    tree: Path,
    target: Path | None,
    *,
    dry_run: bool = False,
    folders_only: bool = False,
    through_links: bool = True,
    existing: bool = False,
    checksum: bool = False,
    protected: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> list[str]:
    """Copy names (from stdin, NUL after each) out of a snapshot: into the folder `target`, or back to the source.

    Nothing is ever deleted there. Folders above a name stay as they are; `folders_only` makes those that are
    named; a symlink to a folder counts as one then, unless `through_links` is False. `existing`: only in the place of
    what is there. `checksum` compares contents if size and time are equal. `protected` are paths below the target that
    are never written, `left_out` are patterns. The whole list is held at once (85 bytes an entry): folder by folder,
    rsync (3.5.0) waits for ever if a folder that is not empty is in the place of a file with two names.
    """
    remote = target is None and location.kind != "local"
    place = location.argument if target is None else f"{target}/"
    return [
        *_common(options, recursive=not folders_only),
        *([] if folders_only else ["--no-inc-recursive"]),
        *_extras(options),
        # locally --fake-super applies to both sides: so the receiver runs as a process of its own, as if remote
        *(["--rsh=env", "--secluded-args"] if options.fake_super and not remote else []),
        "--sparse", "--no-implied-dirs",
        *(["--keep-dirlinks"] if folders_only and through_links else []),
        *(["--existing"] if existing else []),
        *(["--checksum"] if checksum else []),
        *(["--dry-run"] if dry_run else []),
        *(f"--exclude={pattern(path)}" for path in protected),
        *(f"--exclude={text}" for text in left_out),
        "--files-from=-", "--from0", f"--out-format={LIST_FORMAT}",
        *(_COMPRESS[options.compress] if remote else ()),
        *([f"--bwlimit={options.bandwidth_limit // 1024 or 1}"] if options.bandwidth_limit and remote else []),
        *(connection(location) if target is None else []),
        f"{tree}/", f"LOCAL=yes:{place}" if options.fake_super and not remote else place,
    ]  # fmt: skip


def put_back_argv(tree: Path, slot: Path) -> list[str]:
    """Reset names (from stdin, NUL after each) in a slot to their state in a snapshot's tree, completely.

    Contents are compared block by block, and only differing blocks are written: unchanged blocks stay shared.
    """
    return [
        "rsync", "--dirs", "--links", "--perms", "--times", "--owner", "--group", "--devices", "--specials",
        "--numeric-ids", "--hard-links", "--acls", "--xattrs",
        "--inplace", "--no-whole-file", "--ignore-times", "--no-implied-dirs",
        "--files-from=-", "--from0", f"{tree}/", f"{slot}/",
    ]  # fmt: skip


def pattern(path: str) -> str:
    """A path as a filter pattern that matches only it."""
    return re.sub(r"([*?\[\\])", r"\\\1", path) if set(path) & set("*?[") else path


def _common(options: Options, *, recursive: bool = True) -> list[str]:
    return [
        "rsync",
        *(["--recursive"] if recursive else ["--dirs"]),
        "--links", "--perms", "--times", "--owner", "--group", "--devices", "--specials", "--numeric-ids",
        *(["--hard-links"] if options.hard_links else []),
        "--8-bit-output",
        *([f"--timeout={options.timeout_seconds}"] if options.timeout_seconds else []),
    ]  # fmt: skip


_XFS_ACLS = (
    # XFS shows its ACLs as trusted.SGI_ACL_* too: rsync, missing these at the source, would remove them, ACLs and all.
    "--filter=-x trusted.SGI_ACL_*",
    "--filter=-x system.*",  # rsync's own rule, which any other rule of this kind turns off
)


def _extras(options: Options) -> list[str]:
    """ACLs and extended attributes. (An ordinary user's rsync handles only user.*, by a rule of its own.)"""
    return [
        *(["--acls"] if options.acls else []),
        *(["--xattrs", *(() if os.geteuid() else _XFS_ACLS)] if options.xattrs else []),
        *(["--fake-super"] if options.fake_super else []),  # local: for both sides; -M alone breaks rsync 3.5.0 there
    ]


def _filters(options: Options) -> list[str]:
    return [
        *(f"--include={pattern}" for pattern in options.include),
        *([f"--include-from={options.include_from}"] if options.include_from else []),
        *(f"--exclude={pattern}" for pattern in options.exclude),
        *([f"--exclude-from={options.exclude_from}"] if options.exclude_from else []),
        *(["--one-file-system"] if options.one_file_system else []),
        *([f"--max-size={options.max_size}"] if options.max_size is not None else []),
        *([f"--min-size={options.min_size}"] if options.min_size is not None else []),
    ]


def refuse_aliases(files: Iterable[Path] | None = None) -> None:
    """Raises UsageError where this machine's /etc/popt gives one of rsync's long options another meaning.

    The library that reads rsync's options takes aliases from there ("rsync alias --links --copy-links"), and nothing
    turns that off. (We use no short options: an alias of one is not ours.)
    """
    for file in files if files is not None else (_POPT, *sorted(_POPT_FOLDER.glob("*"))):
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split(maxsplit=3)
            if len(words) > 2 and fnmatchcase("rsync", words[0]) and words[2].startswith("--"):
                raise UsageError(
                    f"{file} changes what rsync's option {words[2]} does: {line.strip()!a}",
                    hint="take that line out of it; a snapshot would not be what the configuration says",
                )


def connection(location: Location) -> list[str]:
    """The options for the connection to the source. Raises UsageError where it needs a program that is missing."""
    if location.kind == "local":
        return []
    if location.kind == "daemon":
        password = [f"--password-file={location.password_file}"] if location.password_file else []
        return [*password, f"--contimeout={ssh.CONNECT_SECONDS}"]
    if process.find("ssh") is None:  # rsync would lay that to the server
        raise UsageError("the program ssh is not installed on this machine", hint="apt-get install openssh-client")
    path = [f"--rsync-path={location.rsync_path}"] if location.rsync_path else []
    return [f"--rsh={ssh.rsh(location.login)}", *path]
