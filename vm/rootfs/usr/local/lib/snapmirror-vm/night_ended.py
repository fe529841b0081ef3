#!/usr/bin/python3
"""After a night, by systemd (ExecStopPost): notes how it ended, for the catch-up and for people.

    last-night    its time: when the last good night ended; made empty at the first boot (see configure.py)
    last-ended    when the last night ended by itself, whatever its result
    failure       what is wrong since, in sentences; absent after a good night

A night that a shutdown interrupted has not ended: the catch-up runs it again. `state` shows this at each login, and on
the console. Runs `snapmirror status`, `systemctl is-system-running`, `state` and `agetty --reload`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent
ISSUE = Path("/etc/issue.d/snapmirror.issue")
GOOD = ("0", "3")  # 3: done, with warnings


def main() -> int:
    folder = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/snapmirror-vm"))
    status = os.environ.get("EXIT_STATUS", "unknown")
    if status in GOOD:
        (folder / "last-night").write_text("good\n")
        (folder / "failure").unlink(missing_ok=True)
    elif output_of("systemctl", "is-system-running").strip() == "stopping":
        return 0
    else:
        (folder / "failure").write_text("\n".join(reasons(status)) + "\n")
    (folder / "last-ended").touch()
    ISSUE.parent.mkdir(exist_ok=True)
    ISSUE.write_text(output_of(str(PROGRAMS / "state"), "--dated").replace("\\", "\\\\") + "\n")
    subprocess.run(["agetty", "--reload"], check=False)
    return 0


def reasons(status: str) -> list[str]:
    """What is wrong, from snapmirror's own report if there is one."""
    sentences = output_of("snapmirror", "status", "--findings").splitlines()
    return [f"exit code {status}", *sentences, "'journalctl --unit snapmirror-night' shows more"]


def output_of(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, errors="replace", check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
