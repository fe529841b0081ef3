"""What the facts of the host mean for a night, line by line, each with how to mend it. Sends nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from snapmirror.check import Check, fail, ok, warn
from snapmirror.config import Config
from snapmirror.errors import ExitCode, HostError
from snapmirror.model import size
from snapmirror.windows.asking import Host, configured
from snapmirror.windows.facts import Facts, ask_system

_CLOCKS_APART_SECONDS = 60
_MANY_FRAGMENTS = 100_000
_SPARSE_FILE_SYSTEMS = ("NTFS", "ReFS")
_PREPARE = "snapmirror host prepare"
_NAMES = {
    "path": "the folder behind the share", "image": "the image", "volume": "the volume of the image",
    "folder_compressed": "whether NTFS compresses the folder", "server": "the settings of the SMB server",
    "share_encrypts": "whether the share is encrypted", "open": "who has the image open",
    "sessions": "which dialects of SMB are in use", "sharing": "the settings of the SMB server",
    "fragments": "how many fragments the image has", "now": "its clock", "windows": "its version",
    "sleep_seconds": "when Windows goes to sleep", "hibernate_seconds": "when Windows hibernates",
    "wake_timers": "whether a timer may wake Windows", "restart_pending": "whether a restart is pending",
    "event_source": "the event log's sources",
}  # fmt: skip


def judge(config: Config, facts: Facts) -> Iterator[Check]:
    """Every finding. Unknown facts are named at the end."""
    host = configured(config)
    yield ok("host", f"{host.address} answers ({host.transport}): Windows {facts.windows or 'of unknown version'}")
    yield from _clock(facts)
    yield from _volume(config, facts)
    yield from _image(facts)
    yield from _sharing(facts)
    yield from _open(facts, _our_address(host.address))
    yield from _power(facts, keep_awake=host.keep_awake)
    if facts.restart_pending:
        yield warn(
            "restart", "a restart of Windows is pending, and may come in the middle of a night", "restart it now"
        )
    elif facts.restart_pending is False:
        yield ok("restart", "no restart is pending")
    if host.event_log and facts.event_source is False:
        yield warn("event log", "it has no source 'snapmirror', so nights cannot be logged", _PREPARE)
    elif host.event_log and facts.event_source:
        yield ok("event log", "nights are logged in Application, by the source 'snapmirror'")
    yield from _unknown(facts)


def reach(config: Config) -> Check:
    """Whether the host can be queried at all; for the doctor. No night fails because it cannot."""
    host = configured(config)
    try:
        windows = ask_system(Host(host)).windows or "of unknown version"
    except HostError as error:
        return warn("host", error.message, error.hint)
    return ok("host", f"{host.address} answers: Windows {windows}; 'snapmirror host check' shows more")


def _clock(facts: Facts) -> Iterator[Check]:
    apart = facts.clock_apart_seconds
    if apart is None:
        return
    if abs(apart) > _CLOCKS_APART_SECONDS:
        mend = "set the one that is wrong: 'timedatectl' here, 'w32tm /query /status' on Windows"
        yield warn("clock", f"its clock is {abs(apart):.0f} seconds {'ahead of' if apart > 0 else 'behind'} ours", mend)
    else:
        yield ok("clock", "its clock agrees with ours")


def _volume(config: Config, facts: Facts) -> Iterator[Check]:
    free, needed = facts.volume_free, config.min_free
    kind = facts.volume_format
    if free is not None:
        found = f"the volume of {facts.path} has {size(free)} left of {size(facts.volume_size or 0)}"
        if free < needed:
            mend = "make room on that volume; the snapshots in the image cannot grow"
            yield fail("volume", f"{found}, less than min_free ({size(needed)})", mend, ExitCode.STORAGE)
        else:
            yield ok("volume", f"{found}, {kind}" if kind else found)
    if kind is not None and kind not in _SPARSE_FILE_SYSTEMS:
        mend = f"move the image to a volume with {' or '.join(_SPARSE_FILE_SYSTEMS)}"
        yield warn("volume", f"{kind} has no sparse files: the image takes its full size", mend)


def _image(facts: Facts) -> Iterator[Check]:
    if facts.image_exists is False:
        yield warn("image", f"there is no {facts.path} on Windows", "'snapmirror init' makes it; or correct [host]")
    elif facts.image_exists:
        yield ok("image", f"it is {facts.path}, {size(facts.image_size or 0)}")
        if facts.image_sparse:
            yield ok("sparse", "it is marked as sparse: it takes only the space in use, and frees what expires")
        elif facts.image_sparse is False:
            yield warn("sparse", "the image is not marked as sparse: it can only grow, up to its full size", _PREPARE)
    if facts.image_compressed:
        mend = f'on Windows, while no night runs: compact /U "{facts.path}"'
        yield warn("compression", "NTFS compresses the image, which makes it slow and fragments it", mend)
    elif facts.folder_compressed:
        yield warn("compression", "NTFS would compress a new image in that folder", _PREPARE)
    elif facts.folder_compressed is False:
        yield ok("compression", "NTFS does not compress it")
    pieces = facts.fragments
    if pieces is not None and pieces > _MANY_FRAGMENTS:
        mend = f"on Windows, while no night runs: defrag {(facts.path or '?')[:2]} /U"
        count = f"at least {pieces:,}" if pieces >= 2 * _MANY_FRAGMENTS else f"{pieces:,}"
        yield warn("fragments", f"it has {count} fragments; NTFS fails with an error at some number of them", mend)
    elif pieces is not None:
        yield ok("fragments", f"it has {pieces:,} {'fragment' if pieces == 1 else 'fragments'}")


def _sharing(facts: Facts) -> Iterator[Check]:
    if facts.share_encrypts or facts.server_encrypts:
        yield ok("SMB", "the share is served only encrypted")
    elif facts.share_encrypts is False:
        yield warn("SMB", "the share is also served without encryption, to clients that request it", _PREPARE)
    if facts.smb1:
        mend = "on Windows: Set-SmbServerConfiguration -EnableSMB1Protocol $false"
        yield warn("SMB", "it still speaks SMB 1, which is broken", mend)
    spoken = {session.get("dialect", "") for session in facts.sessions or ()} - {""}
    old = sorted(spoken - {"3.1.1"})
    if spoken and not old:
        yield ok("SMB", "its clients speak 3.1.1 now")
    elif old:
        clients = ", ".join(sorted({s.get("client", "?") for s in facts.sessions or () if s.get("dialect") in old}))
        mend = "another client, not this machine: snapmirror speaks 3.1.1 only"
        yield warn("SMB", f"it serves SMB {', '.join(old)} to {clients}", mend)


def _open(facts: Facts, ours: str | None) -> Iterator[Check]:
    if facts.open_by is None:
        return
    others = [o for o in facts.open_by if ours is None or o.get("client", "").strip("[]") != ours]
    if others:
        who = ", ".join(sorted({f"{o.get('user', '?')} on {o.get('client', '?')}" for o in others}))
        mend = "two machines on one image destroy it; 'Close-SmbOpenFile' on Windows ends that"
        yield warn("open", f"others have the image open: {who}", mend)
    elif facts.open_by:
        yield ok("open", "this machine has the image open, nobody else")
    else:
        yield ok("open", "nobody has the image open")


def _power(facts: Facts, *, keep_awake: bool) -> Iterator[Check]:
    waits = [seconds for seconds in (facts.sleep_seconds, facts.hibernate_seconds) if seconds]
    if not waits:
        if facts.sleep_seconds is not None:
            yield ok("sleep", "Windows does not go to sleep by itself")
        return
    idle = f"Windows goes to sleep after {min(waits) // 60} idle minutes"
    if facts.wake_timers == 0:
        mend = (
            "on Windows: powercfg /setacvalueindex SCHEME_CURRENT SUB_SLEEP RTCWAKE 1; "
            "powercfg /setactive SCHEME_CURRENT"
        )
        yield warn("sleep", f"{idle}, and no timer may wake it for a night", mend)
    elif keep_awake:
        yield ok("sleep", f"{idle}; it is kept awake while a night runs")
    else:
        mend = "set keep_awake = true in [host], or on Windows: powercfg /change standby-timeout-ac 0"
        yield warn("sleep", f"{idle}, also while a night runs", mend)


def _unknown(facts: Facts) -> Iterator[Check]:
    for name, why in sorted(facts.unknown.items()):
        if name in ("hibernate_seconds", "wake_timers") and facts.sleep_seconds is not None:
            continue  # Windows does not have these everywhere
        mend = "set image_path in [host], or use" if name == "path" else "use"
        yield warn("rights", f"{_NAMES.get(name, name)} cannot be seen: {why}", f"{mend} an administrator's account")


def _our_address(host: str) -> str | None:
    """Our address as the host sees it. Sends nothing."""
    try:
        kind, _, _, _, where = socket.getaddrinfo(host, 445, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError:
        return None
