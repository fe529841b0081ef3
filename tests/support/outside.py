"""An image looked at without snapmirror, with stock programs, as the page `read-by-hand` does.

Programs: qemu-storage-daemon, mount, umount. A LUKS1 image opens on any kernel this way; LUKS2 would need dm-crypt.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import until


@contextmanager
def opened_by_hand(image: Path, key_file: Path, folder: Path) -> Iterator[Path]:
    """A LUKS1 image with XFS, decrypted and mounted read-only under `folder`."""
    decrypted, store = folder / "decrypted", folder / "store"
    store.mkdir(parents=True)
    decrypted.touch()
    argv = [
        "qemu-storage-daemon", "--object", f"secret,id=key,file={key_file}",
        "--blockdev", f"driver=file,node-name=file,filename={image},read-only=on",
        "--blockdev", "driver=luks,node-name=luks,file=file,key-secret=key,read-only=on",
        "--export", f"type=fuse,id=export,node-name=luks,mountpoint={decrypted}",
    ]  # fmt: skip
    daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        # it mounts itself on the empty file
        until(lambda: decrypted.stat().st_size, "qemu-storage-daemon shows something", running=daemon)
        # norecovery: an XFS that was cleanly unmounted needs none, and a read-only device allows none
        mount = ["mount", "--read-only", "--types", "xfs", "--options", "loop,norecovery,nouuid"]
        subprocess.run([*mount, str(decrypted), str(store)], check=True)
        try:
            yield store
        finally:
            subprocess.run(["umount", str(store)], check=True)
    finally:
        daemon.terminate()
        daemon.wait()
