"""Found by Python when it starts under a shifted clock: what it starts itself has the machine's clock.

Programs that talk with a server see the machine read-only. libfaketime wants to write into /dev/shm and would end them.
"""

import os

os.environ.pop("LD_PRELOAD", None)
