"""Converts a mirror's configuration to the plain values that the adapters of rsync and ssh in `tools` take."""

from __future__ import annotations

from msgspec.structs import replace

from snapmirror.config import MirrorConfig
from snapmirror.tools import rsync, ssh


def location(mirror: MirrorConfig) -> rsync.Location:
    """The location of its source, and how to reach it."""
    source = mirror.source
    is_daemon = source.kind == "daemon"
    return rsync.Location(
        kind=source.kind,
        argument=source.rsync_argument,
        base=(replace(source, path="/") if is_daemon else source).rsync_argument,
        inside=source.path.strip("/") if is_daemon else "",
        login=ssh.Login(mirror.port or source.port, mirror.identity, mirror.known_hosts, mirror.jump_host),
        rsync_path=mirror.rsync_path,
        password_file=mirror.password_file,
    )


def options(mirror: MirrorConfig) -> rsync.Options:
    """The rsync options that decide what is copied from its source and kept."""
    return rsync.Options(
        hard_links=mirror.hard_links,
        acls=mirror.acls,
        xattrs=mirror.xattrs,
        fake_super=mirror.fake_super,
        timeout_seconds=mirror.timeout_seconds,
        bandwidth_limit=mirror.bandwidth_limit,
        compress=mirror.compress,
        include=mirror.include,
        include_from=mirror.include_from,
        exclude=mirror.exclude,
        exclude_from=mirror.exclude_from,
        one_file_system=mirror.one_file_system,
        max_size=mirror.max_size,
        min_size=mirror.min_size,
    )
