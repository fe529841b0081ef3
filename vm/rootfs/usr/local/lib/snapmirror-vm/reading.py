"""What sftp can read: the store, the reports, the copy of the LUKS header, and no other file of this machine.

sftp-server gets its own empty root, into which those are bound, read-only, under their own paths; beside them are the
program itself, the libraries that it needs, /dev/null, and a /etc/passwd with one line. There is no /proc: its links
lead to every root. It does not run as root, but as its own user with one capability, to read files of every owner and
mode; the system calls that open a file by its number, which this capability allows, are blocked. It may open no device
but /dev/null: a snapshot may hold the device file of any disk. It has no network.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from allowed import RefusedError, setting

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
USER = "snapmirror-read"
READER = "/usr/local/lib/snapmirror-vm/reader"  # its line of /etc/passwd, of which vm/finish makes it
STATE = "/var/lib/snapmirror"
CLOSED = (
    "/boot", "/dev", "/etc", "/proc", "/root", "/run/credentials", "/sys", "/usr", "/var/backups/shadow.bak",
    "/var/lib/snapmirror-vm",
)  # fmt: skip
# The characters of a plain path. Others would have to be quoted for systemd, which is untested.
_PLAIN = re.compile(r"/[A-Za-z0-9._@+/-]+")

PROPERTIES = (
    "TemporaryFileSystem=/:ro",
    f"User={USER}", "AmbientCapabilities=CAP_DAC_READ_SEARCH", "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
    "NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "RestrictNamespaces=yes", "RestrictRealtime=yes",
    "DevicePolicy=strict", "DeviceAllow=/dev/null rw",
    "PrivateNetwork=yes", "PrivateIPC=yes", "RestrictAddressFamilies=AF_UNIX",  # (systemd-run 252 refuses "none")
    "SystemCallArchitectures=native", "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources name_to_handle_at open_by_handle_at",
    "MemoryDenyWriteExecute=yes", "LockPersonality=yes",
)  # fmt: skip


def properties_of(config: Mapping[str, Any]) -> list[str]:
    """systemd's properties for sftp-server. Raises RefusedError if the store is in a place that must not be shown."""
    store = Path(str(setting(config, "store", "path") or ""))
    if not _is_plain(str(store)) or _is_closed(store):
        raise RefusedError(
            f"the store {str(store)!a} cannot be shown by sftp", "set path in [store] to a folder of its own"
        )
    shown = [f"{store}:{store}", *(f"{one}:{one}" for one in _files(config))]
    binds = [*shown, f"{READER}:/etc/passwd", "/dev/null:/dev/null", f"{SFTP_SERVER}:{SFTP_SERVER}", *_libraries()]
    # It ends when the store is unmounted; otherwise it would keep that mount busy.
    unit = [f"{how}={mount_unit(str(store))}" for how in ("BindsTo", "After")] if store.is_mount() else []
    return [*PROPERTIES, *unit, *(f"BindReadOnlyPaths={'-' if one in shown else ''}{one}" for one in binds)]


def mount_unit(path: str) -> str:
    """systemd's name of a mount, like `systemd-escape --path --suffix=mount`."""
    plain = re.sub(r"[^A-Za-z0-9:_./]", lambda found: f"\\x{ord(found[0]):02x}", path.strip("/"))
    return re.sub(r"^\.", r"\\x2e", plain).replace("/", "-") + ".mount"


def _files(config: Mapping[str, Any]) -> Iterator[str]:
    """The copy of the header, and the reports: files, never through a link."""
    state = Path(str(setting(config, "store", "state_dir") or STATE))
    named = (("image", "header_backup"), ("report", "json_file"), ("report", "metrics_file"))
    given = [setting(config, section, name) for section, name in named]
    reports = sorted(str(one) for one in state.glob("*.json")) if _is_plain(str(state)) else []
    for path in [*given, *reports]:
        if isinstance(path, str) and _is_plain(path) and _is_file(path):
            yield path


def _is_closed(store: Path) -> bool:
    """Whether it contains files of the machine, or lies among them; links are resolved."""
    try:
        ways = (store, store.resolve())
    except OSError:
        return True
    return any(Path(one).is_relative_to(way) or way.is_relative_to(one) for one in CLOSED for way in ways)


def _is_plain(path: str) -> bool:
    return _PLAIN.fullmatch(path) is not None and not {"", ".", ".."} & set(path.split("/")[1:])


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and os.path.realpath(path) == path
    except OSError:
        return False


def _libraries() -> Iterator[str]:
    """The libraries of sftp-server, and the dynamic linker, as listed by the linker."""
    asked = {"LD_TRACE_LOADED_OBJECTS": "1"}
    said = subprocess.run([SFTP_SERVER], env=asked, stdout=subprocess.PIPE, text=True, check=True).stdout
    for found in re.findall(r"(/\S+) \(0x", said):
        yield f"{os.path.realpath(found)}:{found}"
