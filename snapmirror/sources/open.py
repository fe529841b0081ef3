"""Chooses the source of a mirror by its configuration; the only place that does."""

from __future__ import annotations

from snapmirror.config import MirrorConfig
from snapmirror.sources.protocol import Source
from snapmirror.sources.rsync import RsyncSource


def open_source(mirror: MirrorConfig) -> Source:
    """The source of a mirror. It is not contacted yet."""
    return RsyncSource(mirror)
