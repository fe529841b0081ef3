"""One run of libFuzzer, which ends the process that it runs in: `python -m tests.fuzz.worker TARGET WORDS…`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["snapmirror", "json", "tomllib"]):
    from tests.fuzz.targets import attempt

# (to minimise, libFuzzer starts itself again, by its first word and a shell)
again = f"{sys.executable} -m tests.fuzz.worker {sys.argv[1]}"
atheris.Setup([again, *sys.argv[2:]], lambda data: attempt(sys.argv[1], data))
atheris.Fuzz()
