"""Settings of the machine, from appliance.toml. All are optional; what is not set stays as it is.

hostname = "backup1"
timezone = "Europe/Berlin"          # cron and logs; snapshots are named in UTC
time_servers = ["192.168.1.1"]      # default: Debian's pool
night = "03:00"                     # when cron runs it, local time; "off": something else starts it, such as Windows
jitter_minutes = 0                  # a random pause of up to so many minutes before it
catch_up = true                     # run a night that was missed while the machine was off, or suspended
key_runs_a_day = 4                  # of a mirror, by the everyday key of the Windows host (see runs.py)
security_updates = false            # Debian's, unattended; the kernel comes with a new appliance
root_password_hash = "$6$…"         # for the console only, ssh takes keys; `openssl passwd -6` makes one
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DEFAULT_NIGHT = "03:00"
NO_NIGHT = "off"


class Problems(Exception):  # noqa: N818
    """The settings are wrong; every problem found, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(NamedTuple):
    """None: not set. (No dataclass: its imports cost a second of the boot under software emulation.)"""

    hostname: str | None = None
    timezone: str | None = None
    time_servers: tuple[str, ...] | None = None
    night: str = DEFAULT_NIGHT
    jitter_minutes: int = 0
    catch_up: bool = True
    key_runs_a_day: int = 4
    security_updates: bool = False
    root_password_hash: str | None = None


_PATTERNS = {
    "hostname": (r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", "lower-case letters, digits and hyphens"),
    "timezone": (r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", 'the name of a time zone, like "Europe/Berlin"'),
    "night": (r"([01][0-9]|2[0-3]):[0-5][0-9]|off", 'a time, like "03:00", or "off"'),
    "root_password_hash": (r"\$[A-Za-z0-9./$=,-]+", "what `openssl passwd -6` prints"),
}
_TYPES: dict[str, tuple[type, str]] = {
    "jitter_minutes": (int, "a number of minutes"),
    "catch_up": (bool, "true or false"),
    "key_runs_a_day": (int, "a number of runs"),
    "security_updates": (bool, "true or false"),
}


def read_settings(file: Path) -> Settings:
    """The settings in a file; the defaults if it is missing. Raises Problems with all that is wrong."""
    if not file.exists():
        return Settings()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problems([f"appliance.toml: {error}"]) from error
    problems = []
    known = Settings._fields
    for key, value in values.items():
        if key not in known:
            problems.append(f"appliance.toml: {key} is not known; there are {', '.join(known)}")
        elif key in _PATTERNS:
            pattern, what = _PATTERNS[key]
            if not isinstance(value, str) or not re.fullmatch(pattern, value):
                problems.append(f"appliance.toml: {key} must be {what}")
        elif key in _TYPES:
            kind, what = _TYPES[key]
            if type(value) is not kind:
                problems.append(f"appliance.toml: {key} must be {what}")
        elif not isinstance(value, list) or not all(
            isinstance(server, str) and re.fullmatch(r"[A-Za-z0-9.:-]+", server) for server in value
        ):
            problems.append("appliance.toml: time_servers must be a list of names or addresses")
    minutes = values.get("jitter_minutes", 0)
    if type(minutes) is int and not 0 <= minutes <= 720:
        problems.append("appliance.toml: jitter_minutes must be between 0 and 720")
    runs = values.get("key_runs_a_day", 1)
    if type(runs) is int and not 1 <= runs <= 1000:
        problems.append("appliance.toml: key_runs_a_day must be between 1 and 1000")
    zone = values.get("timezone")
    if isinstance(zone, str) and not problems and not (Path("/usr/share/zoneinfo") / zone).is_file():
        problems.append(f"appliance.toml: there is no time zone {zone}")
    if problems:
        raise Problems(problems)
    servers = values.pop("time_servers", None)
    return Settings(**values, time_servers=tuple(servers) if servers is not None else None)


def apply_settings(settings: Settings, root: Path) -> Iterator[str]:
    """Write the files for the settings into the tree at `root`; yield the names of those that changed."""
    files = {
        "etc/cron.d/snapmirror": (
            f"# From appliance.toml, by configure.py, at each boot: changes here do not last.\n{_cron_line(settings)}"
        ),
        "etc/apt/apt.conf.d/20auto-upgrades": "".join(
            f'APT::Periodic::{what} "{int(settings.security_updates)}";\n'
            for what in ("Update-Package-Lists", "Unattended-Upgrade")
        ),
    }
    if settings.hostname is not None:
        files["etc/hostname"] = f"{settings.hostname}\n"
        files["etc/hosts"] = (
            f"127.0.0.1 localhost\n127.0.1.1 {settings.hostname}\n::1 localhost ip6-localhost ip6-loopback\n"
        )
    if settings.timezone is not None:
        files["etc/timezone"] = f"{settings.timezone}\n"
    if settings.time_servers is not None:
        files["etc/systemd/timesyncd.conf.d/snapmirror.conf"] = f"[Time]\nNTP={' '.join(settings.time_servers)}\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        if write_if_different(path, text.encode(), 0o644):
            yield f"/{name}"
    if settings.timezone is not None and _link(root / "etc/localtime", f"/usr/share/zoneinfo/{settings.timezone}"):
        yield "/etc/localtime"
    if settings.root_password_hash is not None and _set_password(root / "etc/shadow", settings.root_password_hash):
        yield "/etc/shadow"
    running = Path("/proc/sys/kernel/hostname")
    if settings.hostname is not None and is_this_machine(root) and running.read_text().strip() != settings.hostname:
        running.write_text(settings.hostname)
        yield "the host name"


def is_this_machine(root: Path) -> bool:
    """Whether that tree is the running system: in a chroot, it is not."""
    try:
        return root.samefile("/proc/1/root/.")
    except OSError:
        return False


def _cron_line(settings: Settings) -> str:
    if settings.night == NO_NIGHT:
        return ""
    hour, minute = (int(part) for part in settings.night.split(":"))
    return f"{minute} {hour} * * *  root  /usr/local/lib/snapmirror-vm/night {settings.jitter_minutes}\n"


def write_if_different(path: Path, content: bytes, mode: int) -> bool:
    """Write a file atomically, with `mode` from the start. False if it was right already."""
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        if path.stat().st_mode & 0o7777 == mode:
            return False
        path.chmod(mode)
        return True
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by an interrupted boot
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    return True


def _link(path: Path, target: str) -> bool:
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
    return True


def _set_password(shadow: Path, password_hash: str) -> bool:
    """root's line in shadow; owner and mode of the file stay."""
    lines = shadow.read_text().splitlines()
    wanted = [
        ":".join([line.split(":")[0], password_hash, *line.split(":")[2:]]) if line.startswith("root:") else line
        for line in lines
    ]
    if lines == wanted:
        return False
    state = shadow.stat()
    write_if_different(shadow, ("\n".join(wanted) + "\n").encode(), state.st_mode & 0o7777)
    os.chown(shadow, state.st_uid, state.st_gid)
    return True
