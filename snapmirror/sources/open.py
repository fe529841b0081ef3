"""From a mirror's configuration to its source: the one place where that is decided."""

from __future__ import annotations

from snapmirror.config import MirrorConfig
from snapmirror.sources.protocol import Source
from snapmirror.sources.rsync import RsyncSource


def open_source(mirror: MirrorConfig) -> Source:
    """The source of a mirror. Nothing is asked of it yet."""
    return RsyncSource(mirror)
