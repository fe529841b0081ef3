#!/usr/bin/python3
"""After boot: starts the night if the last good one is older than the last time at which cron should have run it.

A night that failed counts as missed. Runs `systemctl start`.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from settings import NO_NIGHT, Problems, read_settings

SETTINGS = Path("/etc/snapmirror/appliance.toml")
STAMP = Path("/var/lib/snapmirror-vm/last-night")


def last_due(now: datetime, night: str) -> datetime:
    """The last moment, local time, at which cron should have started the night."""
    hour, minute = (int(part) for part in night.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def main() -> int:
    try:
        settings = read_settings(SETTINGS)
    except Problems as error:
        print(error, file=sys.stderr)
        return 1
    if not settings.catch_up or settings.night == NO_NIGHT or not STAMP.exists():
        return 0
    last = datetime.fromtimestamp(STAMP.stat().st_mtime)
    due = last_due(datetime.now(), settings.night)
    if last >= due:
        return 0
    print(f"the night of {due:%Y-%m-%d %H:%M} was missed; the last good one ended {last:%Y-%m-%d %H:%M}")
    return subprocess.run(["systemctl", "start", "--no-block", "snapmirror-night.service"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
