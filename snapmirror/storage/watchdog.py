"""The watchdog of a share: ends a command when its server stays away for longer than `lost_after_seconds`.

The share is mounted `hard`: while its server is away, writes wait, and continue when it is back, which costs nothing.
But a process that waits below the image cannot be ended: in a guest (Linux 6.1) neither SIGKILL nor `umount --force` of
the share nor a shutdown of the file system freed a thread that waited for the loop device, and a peer that accepts and
closes connections only made the client try again. So a command that uses a share is split in two (see `worker`). A
helper of the watcher queries the share; if there is no answer for too long the watcher sends the worker SIGUSR1, which
ends the run with a storage error (11). Most waits end that way. A worker that does not end in time is stuck (20): the
watcher reports that and ends, and the worker releases everything by itself once the server is back.

Runs no program.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from snapmirror import interrupts, worker
from snapmirror.config import COPY_MOUNT_POINT, Config, ShareConfig
from snapmirror.errors import WAY_OUT, ShareLost, StuckError
from snapmirror.storage.run_lock import mark_stuck
from snapmirror.tools.mount import mount_at

log = logging.getLogger("snapmirror.watchdog")

_TICK_SECONDS = 1.0
_UNWIND_SECONDS = 60.0  # that a worker may take to end, when the server does not answer
_ASK_SECONDS = 5.0


def watch(config: Config) -> int | None:
    """Split the command. None: this is the worker, which goes on. Otherwise the worker has ended with this exit code.

    Raises StuckError when the worker cannot end.
    """
    share = _watched(config)
    if share is None:
        return None
    with worker.split() as child:
        if child is None:
            interrupts.install_own(signal.SIGUSR1, ShareLost(signal.SIGUSR1, share.unc, share.lost_after_seconds))
            return None
        return _stand(child, config, share)


class _Watched(Struct, frozen=True):
    """The mounts to watch: the share of the image and that of its copy, which often is on the same server."""

    unc: str
    lost_after_seconds: int
    mount_points: tuple[Path, ...]


def _watched(config: Config) -> _Watched | None:
    share, copy = config.share, config.image_copy
    copy_point = copy.mount_point if copy else COPY_MOUNT_POINT  # the share may be named on the command line
    if share is not None:
        return _Watched(share.unc, share.lost_after_seconds, (share.mount_point, copy_point))
    if copy is not None and isinstance(copy.destination, str):
        seconds: int = ShareConfig.model_fields["lost_after_seconds"].default
        return _Watched(copy.destination, seconds, (copy_point,))
    return None


def _stand(child: worker.Worker, config: Config, share: _Watched) -> int:
    question = _Question(child, share)
    lost, deadline = False, 0.0
    try:
        while True:
            code = child.wait(_TICK_SECONDS)
            if code is not None:
                return code
            silence = question.silence()
            if not lost and silence > share.lost_after_seconds:
                log.error("%s has not answered for %.0f seconds; ending the run", share.unc, silence)
                child.signal(signal.SIGUSR1)
                lost = True
            if lost and silence <= _TICK_SECONDS * 2 + _ASK_SECONDS:
                deadline = 0.0  # the server is back: the worker goes on, and ends
            elif lost and not deadline:
                deadline = time.monotonic() + _UNWIND_SECONDS
            if deadline and time.monotonic() > deadline:
                error = _stuck(child, share)
                mark_stuck(config, child.pid, error.message)
                raise error
    finally:
        question.end()


def _stuck(child: worker.Worker, share: _Watched) -> StuckError:
    return StuckError(
        f"{share.unc} is away, and the store on it cannot be closed: process {child.pid} waits for the server",
        hint=WAY_OUT,
    )


class _Question:
    """Queries the server, through the mount, for its free space: repeatedly, by a helper that may hang."""

    def __init__(self, child: worker.Worker, share: _Watched) -> None:
        self._child, self._share = child, share
        self._answers, self._asked = os.pipe()
        os.set_blocking(self._answers, False)
        self._last = time.monotonic()
        self._helper = worker.helper(self._ask, child)

    def silence(self) -> float:
        """Seconds since the last answer. While nothing is mounted no answer is expected."""
        ready, _, _ = select.select([self._answers], [], [], 0)
        if ready:
            os.read(self._answers, 1 << 16)
            self._last = time.monotonic()
        if self._helper.ended():
            self._helper = worker.helper(self._ask, self._child)
        return time.monotonic() - self._last

    def end(self) -> None:
        """Stop querying."""
        self._helper.kill()
        os.close(self._answers)
        os.close(self._asked)

    def _ask(self) -> None:
        os.close(self._answers)
        watcher = os.getppid()
        while os.getppid() == watcher:
            with suppress(OSError):  # an error is not an answer
                for point in self._share.mount_points:
                    if mount_at(point) is not None:
                        os.statvfs(point)  # this is never answered from a cache
                os.write(self._asked, b".")
            time.sleep(min(_ASK_SECONDS, self._share.lost_after_seconds / 5))
