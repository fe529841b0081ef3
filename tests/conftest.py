"""What all tests share: how hypothesis searches, and the machine's state of mind (UTC, plain locale)."""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, settings

# No deadline: a busy machine must not turn a true test red. `--hypothesis-profile=thorough` searches longer.
settings.register_profile("usual", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("usual"), max_examples=1000)
settings.load_profile("usual")

os.environ["TZ"] = "UTC"
time.tzset()
os.umask(0o022)
