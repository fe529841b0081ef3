"""Another day for snapmirror, not for the programs that it starts. Library: libfaketime.

Not by the program faketime: it leaves a semaphore for each run, named by its pid, and a thousand runs meet one again.
"""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent


def shifted(shift: str) -> list[str]:
    """What runs a program in Python with a clock that is so far off (`+2d`, `-3600`); the times of files stay as they
    are.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    python_path = f"PYTHONPATH={SUPPORT / 'shifted'}:{SUPPORT.parents[1]}"
    return ["env", "NO_FAKE_STAT=1", "FAKE_UTIME=0", f"LD_PRELOAD={library}", f"FAKETIME={shift}", python_path]
