"""What is read from zpool and zfs, and what is written on a snapshot. The programs only print: no ZFS is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapmirror.errors import StorageError
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.zfs import retiring, sealing
from snapmirror.tools import zfs, zpool

HEALTHY = """  pool: p
 state: ONLINE
  scan: scrub repaired 0B in 00:00:01 with 0 errors on Sat Nov 21 05:39:29 2026
config:

\tNAME        STATE     READ WRITE CKSUM
\tp           ONLINE       0     0     0
\t  loop0     ONLINE       0     0     0

errors: No known data errors
"""
DAMAGED = """  pool: p
 state: DEGRADED
status: One or more devices has experienced an error resulting in data corruption.
config:

\tNAME        STATE     READ WRITE CKSUM
\tp           DEGRADED     0     0     0
\t  sda       DEGRADED     1     0    12  too many errors

errors: Permanent errors have been detected in the following files:

        p/store/web@2026-11-20T030000Z:/tree/a b
        <0x51>:<0x0>
"""


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def program(folder: Path, name: str, text: str, exit_code: int = 0, stderr: str = "") -> None:
    (folder / "out").write_text(text)
    (folder / "err").write_text(stderr)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$*" >>{folder}/calls\ncat {folder}/out\ncat {folder}/err >&2\nexit {exit_code}\n'
    )
    path.chmod(0o755)


def test_health(says: Path) -> None:
    program(says, "zpool", HEALTHY)
    assert zpool.health("p") == zpool.Health("ONLINE", ())
    program(says, "zpool", DAMAGED)
    health = zpool.health("p")
    assert health.state == "DEGRADED"
    assert health.errors == (
        "the pool p is DEGRADED",
        "sda: 1 read, 0 write and 12 checksum errors",
        "damaged: p/store/web@2026-11-20T030000Z:/tree/a b",
        "damaged: <0x51>:<0x0>",
    )


def test_the_advice_to_force_is_not_passed_on(says: Path) -> None:
    program(says, "zpool", "", 1, "cannot import 'p': pool was previously in use from another system.\n"
            "Last accessed by other (hostid=1) at noon\nThe pool can be imported, use 'zpool import -f'\n")  # fmt: skip
    with pytest.raises(StorageError) as caught:
        zpool.import_("p", [says])
    assert "previously in use from another system" in caught.value.message
    assert "-f" not in caught.value.message
    assert "gone for good" in caught.value.hint
    assert " -f" not in (says / "calls").read_text()


def test_snapshots_of_others_are_not_ours(says: Path) -> None:
    seal = sealing.written(_snapshot(warnings=("one\twith a tab",)))[sealing.PROPERTY]
    program(says, "zfs", f"p/w@auto\t1\t2\t3\t0\t-\np/w@2026-11-20T030000Z\t0\t20\t12\t1\t{seal}\n"
            "p/w@x\t0\t0\t0\t0\tnonsense\np/w@y\t0\t0\t0\t0\t{}\n" + f"p/w@notatime\t0\t0\t0\t0\t{seal}\n")  # fmt: skip
    facts = zfs.snapshots("p/w", sealing.PROPERTY)
    assert [one.name for one in facts] == ["auto", "2026-11-20T030000Z", "x", "y", "notatime"]
    read = [sealing.read(one, 1, pinned=True) for one in facts]
    assert read[0] is read[2] is read[3] is read[4] is None
    expected = _snapshot(warnings=("one\twith a tab",), slot=1, pinned=True, written_bytes=12, used_bytes=0)
    assert read[1] == expected


@pytest.mark.parametrize("warnings", [(), ("ä" * 20_000,), tuple(f"warning {n} " + "w" * 300 for n in range(100))])
def test_a_seal_fits_into_a_property(warnings: tuple[str, ...]) -> None:
    text = sealing.written(_snapshot(warnings=warnings))[sealing.PROPERTY]
    assert len(text.encode()) < 8192
    assert "\t" not in text and "\n" not in text


def _snapshot(**fields: object) -> Snapshot:
    known: dict[str, object] = {"id": "2026-11-20T030000Z", "sequence": 3, "slot": 0, "files": 1, "entries": 2,
                                "bytes": 3, "new_bytes": 4}  # fmt: skip
    return Snapshot.model_validate({**known, **fields})


def test_the_device_may_be_there_before_the_module(says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd makes /dev/zfs where the module is installed; zpool does not work before it is loaded."""
    module = says / "module"
    monkeypatch.setattr(zpool, "_CONTROL", says)
    monkeypatch.setattr(zpool, "_MODULE", module)
    (says / "modprobe").write_text(f"#!/bin/sh\nmkdir {module}\n")
    (says / "modprobe").chmod(0o755)
    assert not zpool.is_imported("p")
    zpool.need_module()
    assert module.is_dir()
    program(says, "zpool", "p\n")
    assert zpool.is_imported("p")


FAKE_ZFS = """#!/bin/sh
# datasets and snapshots are files: DATASET.name, with a slash as +; what they hold is printed for what is asked of them
echo "$*" >>{folder}/calls
for last; do :; done
file={folder}/$(echo "$last" | tr / +).zfs
case "$1 $*" in
"list "*" -t snapshot "*) cat {folder}/snapshots 2>/dev/null ;;
"list "*" -r "*) cat {folder}/below ;;
"list "*) [ -e "$file" ] || {{ echo "cannot open '$last': dataset does not exist" >&2; exit 1; }} ;;
"get "*) cat "$file" ;;
"holds "*) cat {folder}/holds ;;
"rename "*) mv {folder}/$(echo "$2" | tr / +).zfs "$file" ;;
"destroy "*) rm "$file" ;;
esac
"""
OURS = "p/store/web@2026-11-20T030000Z\t1\t1\t1\t{holds}\t{note}\n"


@pytest.fixture
def pool_with_web(says: Path) -> Path:
    (says / "zfs").write_text(FAKE_ZFS.format(folder=says))
    (says / "zfs").chmod(0o755)
    (says / "p+store+web.zfs").write_text("web\tlocal\n")
    (says / "below").write_text("p/store/web\n")
    sealed = Snapshot(id="2026-11-20T030000Z", sequence=1, slot=1, files=1, entries=1, bytes=1, new_bytes=1)
    note = sealing.written(sealed)[sealing.PROPERTY]
    (says / "snapshots").write_text(OURS.format(holds=1, note=note))
    (says / "holds").write_text(f"p/store/web@2026-11-20T030000Z\t{sealing.HOLD}\tFri Nov 20\n")
    return says


def test_a_dataset_is_retired(pool_with_web: Path) -> None:
    retiring.check("p/store", "web")
    retiring.set_aside("p/store", "web")
    assert not retiring.is_standing("p/store", "web") and retiring.is_set_aside("p/store", "web")
    retiring.destroy("p/store", "web")
    assert not retiring.is_set_aside("p/store", "web")
    calls = (pool_with_web / "calls").read_text().splitlines()
    assert f"release {sealing.HOLD} p/store/retired:web@2026-11-20T030000Z" in calls
    assert calls[-2] == "destroy -r p/store/retired:web"


@pytest.mark.parametrize(
    ("file", "text", "says_so"),
    [
        ("p+store+web.zfs", "web\tinherited from p\n", "did not make the dataset"),
        ("p+store+web.zfs", "other\tlocal\n", "did not make the dataset"),
        ("below", "p/store/web\np/store/web/child\n", "did not make p/store/web/child"),
        ("snapshots", "p/store/web@mine\t1\t1\t1\t0\t-\n", "did not make the snapshot p/store/web@mine"),
        ("holds", "p/store/web@2026-11-20T030000Z\tbackup\tFri Nov 20\n", "somebody else holds the snapshot"),
    ],
)
def test_what_others_have_in_a_dataset_holds_it_up(pool_with_web: Path, file: str, text: str, says_so: str) -> None:
    (pool_with_web / file).write_text(text)
    with pytest.raises(StorageError) as caught:
        retiring.check("p/store", "web")
    assert says_so in caught.value.message
