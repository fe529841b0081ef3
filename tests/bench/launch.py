"""Run one program and report what it took: wall clock, CPU, largest resident set.

Programs: the one it is given. Usage: `launch.py FD PROGRAM ARGUMENT…`; one line is written to the descriptor FD.

It stands between the benchmark and the measured program because Linux counts the resident set that a process had
before `exec` as its own: started straight from the benchmark, every program would seem as big as the benchmark.
This file imports next to nothing and is about 8 MB; that is the floor of what it can report.
"""

import os
import sys
import time


def main() -> int:
    """Fork, exec, wait; times in nanoseconds of the monotonic clock, memory in KiB, as wait4 gives it."""
    report, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(report, False)
    start = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    end = time.monotonic_ns()
    code = os.waitstatus_to_exitcode(status)
    os.write(report, f"{start} {end} {code} {usage.ru_utime + usage.ru_stime:.3f} {usage.ru_maxrss}".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
