#!/usr/bin/python3
"""Starts a night that was missed: after boot, when the clock has jumped (the host slept), and every quarter of an hour.

A night is missed, as with systemd's own timers (Persistent=), if nothing could start it at its time, or if a shutdown
or a power loss interrupted it. One that ended by itself is not missed, whatever its result: a failed night is reported
(see night_ended.py), and not tried again until the next.

The rule is that of `snapmirror run --due --at`. When the last night ended is known from systemd, not from snapmirror:
a night that could not read its configuration, or got no lock, has ended, and snapmirror has no trace of it.

Runs `systemctl show` and `systemctl start`.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

sys.path.insert(0, "/opt/snapmirror")
sys.path.insert(0, str(Path(__file__).resolve().parent))
from settings import NO_NIGHT, Problems, read_settings

from snapmirror.schedule import DailyAt, due

SETTINGS = Path("/etc/snapmirror/appliance.toml")
STAMPS = (Path("/var/lib/snapmirror-vm/last-night"), Path("/var/lib/snapmirror-vm/last-ended"))
NIGHT = "snapmirror-night.service"
CRONS_TURN = timedelta(minutes=5)


def main() -> int:
    try:
        settings = read_settings(SETTINGS)
    except Problems as error:
        print(error, file=sys.stderr)
        return 1
    ended = [datetime.fromtimestamp(stamp.stat().st_mtime, UTC) for stamp in STAMPS if stamp.exists()]
    if not settings.catch_up or settings.night == NO_NIGHT or not ended:
        return 0
    # cron goes first, after its pause
    before = datetime.now(UTC) - CRONS_TURN - timedelta(minutes=settings.jitter_minutes)
    missed, began = due(DailyAt(time.fromisoformat(settings.night)), max(ended), before)
    if not missed or is_under_way():
        return 0
    last = max(ended).astimezone()
    print(f"the night of {began.astimezone():%Y-%m-%d %H:%M} was missed; the last one ended {last:%Y-%m-%d %H:%M}")
    return subprocess.run(["systemctl", "start", "--no-block", NIGHT], check=False).returncode


def is_under_way() -> bool:
    argv = ["systemctl", "show", "--property=ActiveState", "--value", NIGHT]
    state = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    return state in ("activating", "active", "deactivating")


if __name__ == "__main__":
    sys.exit(main())
