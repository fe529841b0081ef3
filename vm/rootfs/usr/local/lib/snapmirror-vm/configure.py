#!/usr/bin/python3
"""Configures the appliance at each boot, from systemd credentials, a seed disk and /etc/snapmirror/appliance.toml.

A seed is a set of files. On a disk with the label SNAPSEED they have these names; as systemd credentials they are
called `snapmirror.` and the name, with `..` for each slash:

    appliance.toml        settings of the machine (see settings.py)     -> /etc/snapmirror/appliance.toml
    authorized_keys       who may log in as root, by ssh                -> /root/.ssh/authorized_keys
    ssh_host_ed25519_key  who the machine is to ssh, else it decides    -> /etc/ssh/ssh_host_ed25519_key
    network/NAME          files of systemd-networkd                     -> /etc/systemd/network/NAME
    NAME                  everything else: snapmirror.toml, smb.cred, … -> /etc/snapmirror/NAME, 0600
                          (night-failed.sh: a shell script for after a night that failed, see its unit)

Applied in that order, credentials first; a file is written only if it differs, so that nothing changes at a boot
without news. What a seed does not name stays unchanged: so remove the disk, which holds secrets, after the first boot,
and wipe it; until then `state` says so at each login. Files ending in `.key` are copied byte for byte; all others are
text, without what Windows' editors add (carriage returns, a mark at the beginning).

Python's standard library only. Runs mount and umount; nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from settings import Problems, apply_settings, read_settings, write_if_different

LABEL = "SNAPSEED"
CREDENTIALS = Path("/run/credentials/@system")
CREDENTIAL_PREFIX = "snapmirror."
HOST_KEY = "ssh_host_ed25519_key"
DISK_WAIT_SECONDS = 5.0
LARGEST = 1 << 20

Seed = dict[str, bytes]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("/"), help="the tree to configure")
    parser.add_argument("--seed", type=Path, action="append", default=[], help="a further folder of files")
    parser.add_argument("--no-seed", action="store_true", help="only apply the settings that are there already")
    args = parser.parse_args()
    problems: list[str] = []
    seeds = [from_folder(folder) for folder in args.seed]
    secret = [
        f"{folder}: {', '.join(names)}"
        for folder, seed in zip(args.seed, seeds, strict=True)
        if (names := secrets_of(seed))
    ]
    if not args.no_seed:
        seeds.append(from_credentials(CREDENTIALS))
        with mounted_seed_disk() as folder:
            if folder is not None:
                seeds.append(from_folder(folder))
    for seed in seeds:
        for name in place(seed, args.root, problems):
            print(f"configured: {name}")
    for one in secret:
        print(f"copied, and no longer needed there; wipe these secrets in {one}")
    try:
        settings = read_settings(args.root / "etc/snapmirror/appliance.toml")
        for name in apply_settings(settings, args.root):
            print(f"configured: {name}")
    except Problems as error:
        problems += error.problems
    if not args.no_seed:
        begin_counting(args.root)
    for problem in problems:
        print(f"snapmirror appliance: {problem}", file=sys.stderr)
    return 1 if problems else 0


def from_folder(folder: Path) -> Seed:
    """Every file below a folder, by its name relative to it. Hidden files and what Windows adds are left out."""
    seed: Seed = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "System Volume", "$")) for part in parts) or parts[0] == "lost+found"
        if path.is_file() and not path.is_symlink() and not hidden:
            seed["/".join(parts)] = path.read_bytes()[: LARGEST + 1]
    return seed


def secrets_of(seed: Mapping[str, bytes]) -> list[str]:
    """The secret files of a seed: keys and credentials."""
    return [name for name in seed if name.endswith((".key", ".cred")) or b"PRIVATE KEY-----" in seed[name]]


def from_credentials(folder: Path) -> Seed:
    """The systemd credentials that are for us."""
    if not folder.is_dir():
        return {}
    return {
        path.name.removeprefix(CREDENTIAL_PREFIX).replace("..", "/"): path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name.startswith(CREDENTIAL_PREFIX)
    }


def place(seed: Mapping[str, bytes], root: Path, problems: list[str]) -> Iterator[str]:
    """Write each file of a seed to its place, and yield the names of those that were new or different."""
    for name, content in seed.items():
        target = target_of(name)
        if target is None:
            problems.append(f"the seed's file {name!r} has no place here; folders other than network/ are not known")
            continue
        if len(content) > LARGEST:
            problems.append(f"the seed's file {name!r} is larger than {LARGEST} bytes")
            continue
        path = root / target
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, mode=0o700)
        mode = 0o644 if target.startswith("etc/systemd/") else 0o600
        if write_if_different(path, content if name.endswith(".key") else as_text(content), mode):
            yield name


def target_of(name: str) -> str | None:
    """Where a seed's file goes, relative to the root; None for an unknown name."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    if name == "authorized_keys":
        return "root/.ssh/authorized_keys"
    if name == HOST_KEY:
        return f"etc/ssh/{name}"
    if len(parts) == 2 and parts[0] == "network" and parts[1].endswith((".network", ".netdev", ".link")):
        return f"etc/systemd/network/{parts[1]}"
    return f"etc/snapmirror/{name}" if len(parts) == 1 else None


def as_text(content: bytes) -> bytes:
    """Text in Unix form."""
    text = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    return text if not text or text.endswith(b"\n") else text + b"\n"


@contextmanager
def mounted_seed_disk() -> Iterator[Path | None]:
    """The seed disk, read-only, or None when there is none. It waits for a disk that udev finds late."""
    device = Path("/dev/disk/by-label") / LABEL
    deadline = time.monotonic() + DISK_WAIT_SECONDS
    subprocess.run(["udevadm", "settle", "--timeout=30"], check=False)
    while not device.exists() and virtual_disks_may_come() and time.monotonic() < deadline:
        time.sleep(0.2)
    if not device.exists():
        yield None
        return
    mount_point = Path("/run/snapmirror-seed")
    mount_point.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "--read-only", "--options", "nodev,nosuid,noexec", device, mount_point], check=True)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", mount_point], check=True)
        mount_point.rmdir()


def virtual_disks_may_come() -> bool:
    """Hyper-V shows its disks some time after the kernel starts; elsewhere udev has found them all by now."""
    return Path("/sys/bus/vmbus").is_dir()


def begin_counting(root: Path) -> None:
    """The first boot counts as the last good night: before it, none can have been missed."""
    stamp = root / "var/lib/snapmirror-vm/last-night"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    if not stamp.exists():
        stamp.touch()


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
