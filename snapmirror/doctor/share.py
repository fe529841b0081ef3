"""The doctor's checks of the share: kernel, credentials, the server's dialect and clock, the image's place on it.

Mounts the share for a moment if that is possible, and changes nothing on it. Runs no program itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from snapmirror.check import Check, fail, failed, ok, warn
from snapmirror.config import Config, ShareConfig
from snapmirror.doctor import store
from snapmirror.errors import ExitCode, SnapmirrorError
from snapmirror.storage import share as shares
from snapmirror.tools import cifs, smb

_CLOCKS_APART = timedelta(minutes=1)
_STORAGE = ExitCode.STORAGE


def examine(config: Config) -> Iterator[Check]:
    """The share and the store on it; without a share only the store."""
    share = config.share
    if share is None:
        yield from store.examine(config)
        return
    before = [*_here(share), *_server(share)]
    yield from before
    if os.geteuid() != 0 or any(check.level == "fail" for check in before):
        return  # the files on the share cannot be checked
    try:
        with shares.mounted(share):
            yield from _connection(share)
            yield from _sparse(config)
            yield from store.examine(config)
    except SnapmirrorError as error:
        yield failed("share", error)


def _here(share: ShareConfig) -> Iterator[Check]:
    if cifs.kernel_has_cifs():
        yield ok("cifs", "this kernel can mount SMB shares")
    else:
        yield fail(
            "cifs", "this kernel has no cifs", "use a kernel that has it; Debian's have, the cloud kernel too", _STORAGE
        )
    try:
        cifs.check_credentials(share.credentials)
        yield ok("credentials", f"{share.credentials} is complete, and readable by its owner only")
    except SnapmirrorError as error:
        yield failed("credentials", error)


def _server(share: ShareConfig) -> Iterator[Check]:
    place = shares.place(share)
    try:
        server = smb.ask(place.host, place.port)
    except SnapmirrorError as error:
        yield failed("server", error)
        return
    if not server.is_new_enough:
        mend = "Windows 10, Server 2016 or later have it; on Samba: server max protocol = SMB3"
        yield fail("server", f"{place.host} speaks SMB {server.dialect} at most, 3.1.1 is needed", mend, _STORAGE)
    elif not server.encrypts:
        mend = "on Windows: Set-SmbServerConfiguration -EncryptData $true"
        yield fail("server", f"{place.host} does not encrypt SMB", mend, _STORAGE)
    else:
        yield ok("server", f"{place.host} speaks SMB {server.dialect} and encrypts")
    apart = abs(server.time - datetime.now(UTC))
    if apart > _CLOCKS_APART:
        mend = "set the one that is wrong: 'timedatectl' here, 'w32tm /query /status' on Windows"
        seconds = f"{apart.total_seconds():.0f} seconds"
        yield warn("server clock", f"the clocks of this machine and of {place.host} are {seconds} apart", mend)
    else:
        yield ok("server clock", f"the clocks of this machine and of {place.host} agree")


def _connection(share: ShareConfig) -> Iterator[Check]:
    found = cifs.connection(shares.place(share))
    if found is None:
        mend = "update the kernel; 'seal' among the options in /proc/mounts means that it encrypts"
        yield warn("share", f"{share.unc} can be mounted, but the kernel does not show how", mend)
    elif found.encrypted:
        yield ok("share", f"{share.unc} can be mounted: SMB {found.dialect}, encrypted")
    else:
        yield fail("share", f"{share.unc} is mounted without encryption", f"umount {share.mount_point}", _STORAGE)


def _sparse(config: Config) -> Iterator[Check]:
    if config.image is None or not config.image.file.is_file():
        return
    name, sparse = config.image.file.name, cifs.is_sparse(config.image.file)
    mend = f"on Windows, in the folder of the image: fsutil sparse setflag {name}"
    if sparse:
        yield ok("sparse", f"{name} is marked as sparse: it takes only the space in use, and frees what expires")
    elif sparse is None:
        yield warn("sparse", f"the server does not report whether {name} is sparse", mend)
    else:
        yield warn("sparse", f"{name} is not marked as sparse: it can only grow, up to its full size", mend)
