"""Serves the history read-only over SMB: dated folders, and Previous Versions of each mirror's newest snapshot.

    \\\\vm\\history\\web1\\by-date\\2026-11-21T031414Z     every snapshot
    \\\\vm\\web1                                        the newest one; a right click shows the older ones

A night and the export exclude each other (see `export_lock`): when another command needs the store, smbd ends, with its
connections, and the store is closed; afterwards the store is opened and smbd started again, and Explorer reconnects by
itself. A server that ran on during a night would prevent closing the store, and would show a half-done rotation.

Runs no program itself.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapmirror import files, interrupts
from snapmirror.config import Config, ExportConfig
from snapmirror.errors import StorageError, UsageError
from snapmirror.storage import export_lock, view
from snapmirror.storage.open_store import mount_for_browsing, need_root, umount_store
from snapmirror.tools import samba

log = logging.getLogger("snapmirror.export")

_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 30.0
_PASSWORD = range(8, 128)

_GLOBAL = """
    server role = standalone server
    server string = snapmirror
    # Nothing older than SMB 3.1.1, nothing that is not encrypted, nobody without a password.
    server min protocol = SMB3_11
    server smb encrypt = required
    ntlm auth = ntlmv2-only
    map to guest = never
    restrict anonymous = 2
    # Links of a mirrored server that lead out of its snapshot lead to files of this machine: they are not followed.
    allow insecure wide links = no
    # Only files, on one port: no printers, no NetBIOS, no shares that users make.
    smb ports = {port}
    disable netbios = yes
    load printers = no
    printing = bsd
    printcap name = /dev/null
    disable spoolss = yes
    usershare max shares = 0
    # Everything of this Samba lies here, and is gone when it ends.
    private dir = {folder}/private
    state directory = {folder}/state
    cache directory = {folder}/state
    lock directory = {folder}/run
    pid directory = {folder}/run
    ncalrpc dir = {folder}/run/ncalrpc
    passdb backend = tdbsam:{folder}/private/passdb.tdb
    log file = {folder}/log
    max log size = 1000
"""

_SHARE = """
    path = {path}
    read only = yes
    guest ok = no
    valid users = {users}
    # Owners and modes in a snapshot are those of the mirrored server and mean nobody here: who may log in reads all.
    force user = root
    wide links = no
    ea support = no
    nt acl support = no
    store dos attributes = no
    map archive = no
"""

_DATED = """    # snapmirror's own record, manifests and slot
    veto files = /.snapmirror/.snapmirror.lock/lost+found/
"""

_PREVIOUS_VERSIONS = """    vfs objects = shadow_copy2
    shadow:basedir = {path}
    shadow:snapdir = {by_date}
    shadow:format = %Y-%m-%dT%H%M%SZ
    shadow:localtime = no
    shadow:sort = desc
    # unchanged files are one inode in all snapshots; Windows takes two of them for one open file otherwise
    shadow:fixinodes = yes
"""


_DATED_TARGET = re.compile(r"\.\./(backup\.\d+|current/\.zfs/snapshot/[^/]+/tree)")


def settings_of(config: Config, export: ExportConfig, folder: Path) -> str:
    """Samba's settings for the present history; a mirror without a snapshot has no share of its own yet.

    The view of the store in the export's `folder` is served.
    """
    history = view.view_of(folder)
    users = " ".join(export.users)
    parts = ["[global]", _GLOBAL.format(port=export.port, folder=folder).strip("\n")]
    if export.interfaces:
        parts += [f"    interfaces = lo {' '.join(export.interfaces)}", "    bind interfaces only = yes"]
    parts += [f"[{export.share}]", _SHARE.format(path=history, users=users).strip("\n"), _DATED.strip("\n")]
    for mirror in config.mirrors:
        by_date = history / mirror.name / "by-date"
        if (path := _newest(by_date)) is not None:
            parts += [f"[{mirror.name}]", _SHARE.format(path=path, users=users).strip("\n")]
            parts += [_PREVIOUS_VERSIONS.format(path=path, by_date=by_date).strip("\n")]
    return "\n".join(parts) + "\n"


def _newest(by_date: Path) -> Path | None:
    """The tree to which the last dated name leads; None if there is none.

    Samba follows these names as root: if one leads anywhere but to a snapshot, the mirror gets no share of its own.
    """
    mirror, newest = by_date.parents[1].resolve() / by_date.parent.name, None
    for link in sorted(by_date.iterdir()) if by_date.is_dir() else ():
        target = str(link.readlink()) if link.is_symlink() else ""
        newest = mirror / target.removeprefix("../")
        if not _DATED_TARGET.fullmatch(target) or link.resolve() != newest:
            log.warning("%s is not exported: %s leads to no snapshot", mirror, link)
            return None
    return newest if newest is not None and newest.is_dir() else None


def serve(config: Config) -> None:
    """Serve until a signal arrives; close the store while another command needs it. Raises SnapmirrorError."""
    export = config.export
    if export is None:
        raise UsageError(
            "nothing is to be exported", hint="add [export] to the configuration: 'snapmirror help explorer'"
        )
    need_root()
    passwords = {name: _password(file) for name, file in export.users.items()}
    with export_lock.serving(config):
        served = False
        while True:
            try:
                with export_lock.opening(config), _shown(config) as folder:
                    _serve_once(config, export, passwords, folder)
                    served = True
            except StorageError as error:
                if not served:
                    raise
                log.warning("%s; trying again", error.message)
                _sleep(_AGAIN_SECONDS)


def _serve_once(config: Config, export: ExportConfig, passwords: dict[str, bytes], folder: Path) -> None:
    for name in ("private", "state", "run"):
        (folder / name).mkdir(mode=0o700 if name == "private" else 0o755)
    settings = folder / "smb.conf"
    settings.write_text(settings_of(config, export, folder), encoding="utf-8")
    samba.check(settings)
    for name, password in passwords.items():
        samba.add_user(settings, name, password)
    with samba.serving(settings, export.port) as server:
        log.info("the history is served on port %d", export.port)
        while samba.is_alive(server):
            if export_lock.is_wanted(config):
                log.info("another command needs the store: the export pauses")
                return
            _sleep(_LOOK_SECONDS)
    raise StorageError(f"smbd has ended by itself: {samba.last_words(folder)}")


@contextmanager
def _shown(config: Config) -> Iterator[Path]:
    """Open the store for reading and show it in the export's folder; close it afterwards, unless it was open before."""
    store = config.store.path
    left = view.was_opened(store)
    ours = mount_for_browsing(config) or left
    try:
        with view.shown(store, opened=ours, with_mounts=config.zfs is not None) as folder:
            yield folder
    finally:
        if ours:
            with interrupts.deferred():
                umount_store(config)


def _password(file: Path) -> bytes:
    try:
        with files.named(file) as opened:
            mode, password = os.fstat(opened.fileno()).st_mode, opened.read().removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise StorageError(f"the password file {file} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise StorageError(f"the password file {file} can be read by others", hint=f"chmod 600 {file}")
    if len(password) not in _PASSWORD or b"\n" in password or b"\0" in password:
        raise StorageError(
            f"{file} does not hold a password",
            hint="one line of 8 to 127 characters, such as 'openssl rand -base64 12' prints",
        )
    return password


def _sleep(seconds: float) -> None:
    interrupts.check()
    time.sleep(seconds)
