"""Coverage-guided fuzzing by atheris (libFuzzer).

    python -m tests.fuzz TARGET --seconds 300       # or `all`: each in turn
    python -m tests.fuzz TARGET --minimise          # rewrite the corpus with the fewest files that reach as much

What it finds beyond the corpus is added to it. A crash ends it, and is kept in corpus/TARGET as crash-…: mend it, and
leave the file there. An input that takes a gigabyte of memory or ten minutes (of a busy machine) is a crash, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import CORPUS, TARGETS

LIMITS = ["-rss_limit_mb=1500", "-malloc_limit_mb=1000", "-timeout=600", "-max_len=4096"]


def run(target: str, *words: str | Path) -> int:
    argv = [sys.executable, "-m", "tests.fuzz.worker", target, *map(str, words)]
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz.", dir=memory) as scratch:  # libFuzzer ends without tidying up
        return subprocess.run(argv, env={**os.environ, "TZ": "UTC", "TMPDIR": scratch}, check=False).returncode


def fuzz(target: str, seconds: int, *, minimise: bool) -> int:
    """Fuzz one target, starting from its corpus and from files as snapmirror writes them; keep the few that matter."""
    kept = CORPUS / target
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz.") as folder:
        found, least = Path(folder, "found"), Path(folder, "least")
        for place in (found, least):
            place.mkdir()
        for number, seed in enumerate(seeds(target)):
            (found / f"seed{number}").write_bytes(seed)
        words: list[str | Path] = [
            found,
            kept,
            f"-max_total_time={seconds}",
            f"-artifact_prefix={kept}/",
            "-print_final_stats=1",
            *LIMITS,
        ]
        if not minimise and (code := run(target, *words)):
            return code
        if code := run(target, "-set_cover_merge=1", least, kept, found, *LIMITS):
            return code
        for old in kept.iterdir():
            if not old.name.startswith(("crash-", "oom-", "timeout-")):
                old.unlink()
        for new in least.iterdir():
            shutil.copy(new, kept / new.name[:12])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--minimise", action="store_true", help="only make the corpus smaller")
    words = parser.parse_args()
    targets = list(TARGETS) if words.target == "all" else [words.target]
    return max(fuzz(target, words.seconds, minimise=words.minimise) for target in targets)


if __name__ == "__main__":
    sys.exit(main())
