"""What the PowerShell module does with the appliance, done by Debian's OpenSSH with the module's own options and words.

The VM knows who it is from its seed, so the first connection is to a known host; the key of the Windows host runs
snapmirror's commands through gate.py, gets their exit codes and JSON, and reads the store by sftp, and nothing else. A
second key, the administrator's, may do more.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.powershell import parsed, text, walk
from tests.support.sftp import END, RefusedError, Sftp
from tests.support.vm import ROOT, Guest, Image, booted
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(3600)  # a busy machine, without KVM

MODULE = ROOT / "scripts/SnapMirror"
CONFIG = b"""
[store]
path = "/srv/plain"
[[mirror]]
name = "web1"
source = "/srv/source/"
"""
SECRET = b"nobody-may-see-this"
SETTINGS = b'night = "off"\nroot_password_hash = "$6$nobody-may-see-this$x"\n'
NAMES = ("plain", "two words", "\u00c4rger", 'say "x"', "star*", "back\\slash")


def pair(path: Path) -> tuple[bytes, str]:
    """A new key: the private one, and the line of the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.read_bytes(), path.with_suffix(".pub").read_text().strip()


class Windows:
    """The Windows host: its key, what it knows of the VM, and how the module calls ssh and sftp."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.known_hosts = folder / "id_ed25519", folder / "known_hosts"
        _, self.public = pair(self.key)
        self.admin_key = folder / "id_admin"
        _, self.admin_public = pair(self.admin_key)
        self.host_key, self._host_public = pair(folder / "ssh_host_ed25519_key")
        self.port = 0

    def meets(self, machine: Guest) -> None:
        """The VM is there; nothing is asked of it that Install-SnapMirror does not know already."""
        self.port = machine.ssh_port
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self._host_public}\n")
        [gate] = re.findall(r"'(restrict,command=.*)'", (MODULE / "Private/New-SnapMirrorSeed.ps1").read_text())
        both = f"{gate} {self.public}\n{gate.replace('gate.py', 'gate.py --admin')} {self.admin_public}\n"
        machine.run(["sh", "-c", "cat >>/root/.ssh/authorized_keys"], stdin=both.encode())

    def options(self, key: Path | None = None) -> list[str]:
        """As Get-SnapMirrorSshOption gives them."""
        literals = walk(parsed(MODULE / "Private/Get-SnapMirrorSshOption.ps1"), "string_literal")
        values = {"$known": str(self.known_hosts), "$batch": "yes"}
        set_up = [re.sub(r"\$\w+", lambda it: values[it[0]], text(one)[1:-1].replace('`"', '"')) for one in literals]
        words = [word for option in set_up if "=" in option for word in ("-o", option)]
        assert "StrictHostKeyChecking=yes" in words
        return ["-F", "none", "-i", str(key or self.key), *words]

    def ask(self, *words: str, raw: str = "", key: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        request = raw or f"snapmirror {base64.b64encode(json.dumps(words).encode()).decode()}"
        argv = ["ssh", *self.options(key), "-p", str(self.port), "-T", "root@127.0.0.1", request]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def sftp(self) -> Sftp:
        """A client that is not as well-behaved as OpenSSH's."""
        return Sftp(["ssh", *self.options(), "-p", str(self.port), "-s", "root@127.0.0.1", "sftp"])

    def fetch(self, *paths: str, to: Path) -> subprocess.CompletedProcess[bytes]:
        """By the lines that Receive-SnapMirrorFile writes."""
        source = (MODULE / "Private/Receive-SnapMirrorFile.ps1").read_text()
        [line] = re.findall(r"'(get .*)' -f \(\$one -replace '\(\[\"\\\\\]\)', '\\\$1'\), \$target", source)
        escaped = [re.sub(r'(["\\])', r"\\\1", path) for path in paths]
        batch = self.folder / "batch"
        batch.write_text("".join(f"{line.replace('{0}', path).replace('{1}', str(to))}\n" for path in escaped))
        to.mkdir()
        argv = ["sftp", *self.options(), "-P", str(self.port), "-q", "-b", str(batch), "root@127.0.0.1"]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return Windows(tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def machine(image: Image, windows: Windows) -> Iterator[Guest]:
    seed = {
        "snapmirror.toml": CONFIG, "appliance.toml": SETTINGS, "image.key": SECRET,
        "ssh_host_ed25519_key": windows.host_key,
    }  # fmt: skip
    with booted(image, credentials=seed) as started:
        for name in NAMES:
            started.put(f"/srv/source/{name}", name.encode(), 0o644)
        started.run(["ln", "--symbolic", "/etc/snapmirror/image.key", "/srv/source/way"])
        started.run(["ln", "--symbolic", "/proc/1/root", "/srv/source/root"])
        started.run(["cp", "--archive", "/dev/vda", "/srv/source/disk"])  # any server may hold such a device file
        started.run(["mkdir", "/srv/plain"])
        windows.meets(started)
        yield started
        started.power_off()


def test_a_night_by_the_key_of_windows(machine: Guest, windows: Windows, tmp_path: Path) -> None:
    before = windows.ask("status", "--json")
    assert before.returncode == 3, before.stderr
    done = windows.ask("run", "--json", "web1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mirrors"][0]["result"] == "published"
    status = windows.ask("status", "--json")
    assert (status.returncode, json.loads(status.stdout)["findings"]) == (0, [])
    [snapshot] = json.loads(windows.ask("list", "--json").stdout)

    plan = windows.ask("find", "--json", "/\u00c4rger")
    assert plan.stdout.isascii() and "\u00c4rger" in json.dumps(json.loads(plan.stdout), ensure_ascii=False)

    fetched = windows.fetch(*(f"{snapshot['path']}/{name}" for name in NAMES), to=tmp_path / "restored")
    assert fetched.returncode == 0, fetched.stderr
    assert {path.name: path.read_text() for path in (tmp_path / "restored").iterdir()} == {n: n for n in NAMES}


def test_a_run_that_fails_and_one_that_is_refused_keep_their_codes(machine: Guest, windows: Windows) -> None:
    machine.run(["mv", "/srv/source", "/srv/elsewhere"])
    failed = windows.ask("run", "--json")
    machine.run(["mv", "/srv/elsewhere", "/srv/source"])
    assert failed.returncode == 12, failed.stderr
    assert json.loads(failed.stdout)["exit_code"] == 12
    assert windows.ask("run", "--nonsense").returncode == 2


def test_the_key_does_nothing_else(machine: Guest, windows: Windows, tmp_path: Path) -> None:
    for raw in ("sh -c id", "cat /etc/shadow", "snapmirror list"):
        refused = windows.ask(raw=raw)
        assert (refused.returncode, refused.stdout) == (2, b""), raw
    secrets = ("/etc/snapmirror/image.key", "/root/.ssh/authorized_keys", "/etc/shadow", "/dev/vda")
    ways = [f"{before}{secret}" for secret in secrets for before in ("", "/proc/1/root", "/proc/self/root", "/srv/..")]
    windows.fetch(*ways, to=tmp_path / "secrets")
    assert list((tmp_path / "secrets").iterdir()) == []


def test_a_mirror_has_so_many_runs_a_day_by_the_key(machine: Guest, windows: Windows) -> None:
    """The night of before counts, the run that failed does not."""
    record = "/var/lib/snapmirror-vm/gate-runs"
    before = machine.get(record)
    assert [json.loads(line)["mirrors"] for line in before.splitlines()] == [["web1"]]
    machine.put(record, before * 4)
    refused = windows.ask("run", "--json")
    assert refused.returncode == 13
    assert b"within a day" in refused.stderr
    snapshots = len(json.loads(windows.ask("list", "--json").stdout))
    assert snapshots == 1


def test_what_shortens_history_asks_for_the_second_key(machine: Guest, windows: Windows) -> None:
    for words in (["run", "--accept-changes"], ["pin", "newest"], ["unpin", "newest"], ["copy-image", "//other/share"]):
        refused = windows.ask(*words)
        assert (refused.returncode, refused.stdout) == (2, b""), words
        assert b"administrator's key" in refused.stderr
    for words in (["pin", "newest"], ["unpin", "newest"], ["run", "--accept-changes", "web1"]):
        done = windows.ask(*words, key=windows.admin_key)
        assert done.returncode == 0, done.stderr
    assert windows.ask(raw="sh -c id", key=windows.admin_key).returncode == 2, "it is no login either"
    assert windows.ask("copy-image", "/etc/cron.d", key=windows.admin_key).returncode == 2


def is_public(name: bytes) -> bool:
    """What the root of sftp-server holds beside the store and the reports."""
    program = name in (b"/usr/lib/openssh/sftp-server", b"/etc/passwd", b"/dev/null")
    return program or re.fullmatch(rb"/lib(64|/x86_64-linux-gnu)/[a-z0-9.-]+\.so(\.[0-9]+)*", name) is not None


def is_meant(name: bytes) -> bool:
    return name.startswith(b"/srv/plain/") or re.fullmatch(rb"/var/lib/snapmirror/[^/]+\.json", name) is not None


def test_sftp_sees_the_store_and_the_reports_and_no_other_file(machine: Guest, windows: Windows) -> None:
    with windows.sftp() as session:
        seen = set(session.walk(b"/"))
        assert {name for name in seen if not is_meant(name) and not is_public(name)} == set()
        assert b"snapmirror-read" in session.read(b"/etc/passwd") and b"root" not in session.read(b"/etc/passwd")
        reports = [name for name in seen if name.startswith(b"/var/")]
        assert any(b"published" in session.read(name) for name in reports)
        newest = b"/srv/plain/web1/backup.1"
        assert {session.link(newest + b"/way"), session.link(newest + b"/root")} <= {
            b"/etc/snapmirror/image.key", b"/proc/1/root",
        }  # fmt: skip
        for name in (newest + b"/way", newest + b"/root/etc/shadow", newest + b"/disk"):
            with pytest.raises(RefusedError):
                session.read(name)
        attempts: list[Callable[[], None]] = [
            lambda: session.write(newest + b"/plain"),
            lambda: session.write(b"/srv/plain/new"),
            lambda: session.extended(b"posix-rename@openssh.com", newest, b"/srv/plain/x"),
            lambda: session.extended(b"hardlink@openssh.com", newest + b"/plain", b"/srv/plain/x"),
        ]
        for attempt in attempts:
            with pytest.raises(RefusedError):
                attempt()


SECRETS = (b"/etc/snapmirror/image.key", b"/etc/shadow", b"/root/.ssh/authorized_keys", b"/dev/vda", b"/etc")
FROM = (
    b"", b"/", b"/proc/1/root", b"/proc/self/root", b"/proc/self/cwd", b"/proc/self/fd/3", b"/srv/plain/..", b"/srv/..",
    b"/srv/plain/web1/backup.1/root", b"/srv/plain/web1/backup.1", b"/run/credentials/@system", b"/dev/fd", b"/sys",
    b"/var/lib/snapmirror/..", b"/run/systemd/incoming/..", b"..", b"../..", b"~root",
)  # fmt: skip


def test_whatever_name_is_asked_for_nothing_else_comes(machine: Guest, windows: Windows) -> None:
    """In one session: names that lead to secrets by detours, names that exist, and noise."""
    with windows.sftp() as session:
        known = [*session.walk(b"/"), b"/srv/plain", b"/var/lib"]
        noise = st.binary(max_size=20).map(lambda name: name.replace(b"\0", b""))  # which ends the session
        detours = st.lists(st.sampled_from([b"/.", b"/", b"/srv/..", b"/..", b"/x/.."]), max_size=4).map(b"".join)
        names = st.one_of(
            st.builds(lambda *parts: b"".join(parts), st.sampled_from(FROM), detours, st.sampled_from(SECRETS)),
            st.builds(lambda *parts: b"".join(parts), st.sampled_from(known), detours, st.sampled_from(SECRETS)),
            st.builds(lambda start, rest: start + b"/" + rest, st.sampled_from(known), noise),
            st.sampled_from(known), noise,
        )  # fmt: skip

        @settings(max_examples=400, deadline=None)
        @given(name=names)
        def ask(name: bytes) -> None:
            try:
                content = session.read(name)
                real = session.real_path(name)
            except RefusedError as refused:
                assert refused.code != END
                return
            assert is_meant(real) or is_public(real), (name, real)
            assert SECRET not in content

        ask()


def test_sftp_server_is_nobody_who_can_do_more_than_read(machine: Guest, windows: Windows) -> None:
    with windows.sftp() as session:
        session.listed(b"/srv")
        [pid] = machine.run(["pgrep", "--exact", "sftp-server"]).text.split()
        lines = machine.get(f"/proc/{pid}/status").decode().splitlines()
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"990"}
        only_reading = f"{1 << 2:016x}"  # CAP_DAC_READ_SEARCH
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {only_reading}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        for absent in ("proc", "sys"):
            machine.run(["test", "!", "-e", f"/proc/{pid}/root/{absent}"])
        cards = machine.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-brief", "link"]).text.splitlines()
        assert [line.split()[0] for line in cards] == ["lo"]


def test_a_session_does_not_keep_the_store_mounted(machine: Guest, windows: Windows) -> None:
    """Its root holds the mount; it ends with it, also with a file open, and the device below is free at once."""
    machine.run(["truncate", "--size=16M", "/root/image"])
    machine.run(["mkfs.ext4", "-q", "/root/image"])
    machine.run(["mount", "-o", "loop", "/root/image", "/srv/plain"])
    try:
        with windows.sftp() as session:
            assert session.listed(b"/srv/plain") == [b"lost+found"]
            machine.run(["umount", "/srv/plain"])
            until(lambda: machine.run(["losetup", "--list", "--noheadings"]).text == "", "the device is released")
            with pytest.raises(AssertionError, match="ended the session"):
                session.listed(b"/srv/plain")
    finally:
        machine.run(["umount", "/srv/plain"], ok=(0, 32))


def test_cron_leaves_the_night_to_windows(machine: Guest) -> None:
    assert "root" not in machine.get("/etc/cron.d/snapmirror").decode()
