"""Too little memory for a thread is an error, and never a wait for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SWEEP = """
import os, resource, signal
from pathlib import Path
from snapmirror import process
from snapmirror.errors import shortage

process.run(["true"])
status = Path("/proc/self/status").read_text()
taken = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
ends = set()
for room in range(0, 40 << 20, 256 << 10):
    if not (child := os.fork()):
        signal.alarm(60)
        resource.setrlimit(resource.RLIMIT_DATA, (taken + room, taken + room))
        try:
            process.run(["true"])
            os._exit(0)
        except Exception as error:
            os._exit(11 if shortage(error) else 1)
    ends.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*sorted(ends))
"""


def test_a_program_is_started_or_it_is_said_why_not() -> None:
    """With any limit on memory between nothing and plenty; a process that hangs is ended by its alarm (-14)."""
    done = subprocess.run([sys.executable, "-c", SWEEP], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "0 11\n", done.stderr
