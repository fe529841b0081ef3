"""The Windows host over WinRM, against a double on loopback: `snapmirror host check|prepare`, and what may go wrong.

The double is no Windows (see tests.support.winrm); it holds us to the wire, the logins, the scripts and their limits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from snapmirror.errors import HostError
from snapmirror.tools.winrm import Login, ask
from tests.support.sshd import free_port
from tests.support.waiting import until
from tests.support.windows import Windows, make_certificate
from tests.support.winrm import PASSWORD, SCRIPTS, USER, WinRM, settled, winrm_running

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Client:
    """A machine with a section [host]."""

    folder: Path
    winrm: WinRM
    host: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    password: str = PASSWORD

    def configured(self) -> Path:
        secret, config = self.folder / "password", self.folder / "snapmirror.toml"
        if not secret.exists():
            secret.touch(0o600)
            secret.write_text(f"{self.password}\n")
        tls = {"transport": "https", "ca_file": str(self.winrm.ca_file)}
        login = {"user": USER, "password_file": str(secret)}
        table = {
            "address": "127.0.0.1", "port": self.winrm.port, "timeout_seconds": 20,
            **(tls if self.winrm.tls else {"transport": "http"}), **login, **self.host,
        }  # fmt: skip
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]
        config.write_text(
            f'[store]\npath = "{self.folder}/store"\nstate_dir = "{self.folder}/state"\n'
            f'[share]\nunc = "//127.0.0.1/backup/sub"\ncredentials = "{self.folder}/smb.cred"\n'
            '[image]\nfile = "snapmirror.img"\nsize = "1G"\nencryption = "none"\n[[mirror]]\nname = "m"\n'
            'source = "/etc"\n[host]\n' + "\n".join(lines) + "\n"
        )
        return config

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "snapmirror", "--config", str(self.configured()), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        assert PASSWORD not in out + err
        return process.returncode, out, err

    def check(self) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit code and lines by topic, the worst of each."""
        code, out, _ = self.run("host", "check", "--json")
        answer = json.loads(out)
        assert answer["exit_code"] == code
        order = ("ok", "warn", "fail")
        return code, {line["topic"]: line for line in sorted(answer["checks"], key=lambda c: order.index(c["level"]))}

    def error(self) -> str:
        """What is said of a host that cannot be asked."""
        code, lines = self.check()
        assert code == 11
        assert list(lines) == ["host"]
        return lines["host"]["message"]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate to log in with."""
    file = make_certificate(tmp_path_factory.mktemp("login") / "login.pem", "snapmirror")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory, ours: Path) -> Iterator[WinRM]:
    with winrm_running(tmp_path_factory.mktemp("https"), client_ca=ours) as running:
        yield running


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinRM]:
    with winrm_running(tmp_path_factory.mktemp("http"), tls=False) as running:
        yield running


@pytest.fixture(params=["https", "http"])
def winrm(request: pytest.FixtureRequest) -> Iterator[WinRM]:
    yield from clean(request.getfixturevalue(request.param))


@pytest.fixture
def tls(https: WinRM) -> Iterator[WinRM]:
    yield from clean(https)


def clean(double: WinRM) -> Iterator[WinRM]:
    double.mode, double.windows = "", Windows()
    for seen in (double.calls, double.logins, double.refused):
        seen.clear()
    yield double
    settled(double)


def test_a_host_as_it_should_be(tmp_path: Path, winrm: WinRM) -> None:
    code, lines = Client(tmp_path, winrm).check()
    assert code == 0, lines
    assert {line["level"] for line in lines.values()} == {"ok"}
    assert "Windows 10.0.20348.0" in lines["host"]["message"]
    assert (
        lines["volume"]["message"] == "the volume of D:\\Snapmirror\\snapmirror.img has 900.0 GiB left of 2.0 TiB, NTFS"
    )
    assert "kept awake" in lines["sleep"]["message"]
    assert winrm.scripts() == ["system", "image", "sharing", "fragments"]
    assert winrm.calls[1][1] == {"share": "backup", "file": "sub\\snapmirror.img"}
    assert winrm.logins == ["NTLM good"] * 4
    code, out, err = Client(tmp_path, winrm).run("host", "check")
    assert code == 0
    assert "ok    host: 127.0.0.1 answers" in out
    assert not err


@pytest.mark.parametrize("transport", ["basic", "certificate"])
def test_other_logins(tmp_path: Path, tls: WinRM, ours: Path, transport: str) -> None:
    options: dict[str, Any] = {"transport": transport}
    if transport == "certificate":
        options = by(ours)
    code, lines = Client(tmp_path, tls, options).check()
    assert code == 0, lines
    assert set(tls.logins) == {{"basic": "Basic good", "certificate": "certificate good TLSv1.2"}[transport]}


def by(certificate: Path) -> dict[str, Any]:
    """A login without a password."""
    files = {"certificate": str(certificate), "certificate_key": str(certificate)}
    return {"transport": "certificate", "user": None, "password_file": None, **files}


def test_a_password_that_a_program_prints(tmp_path: Path, tls: WinRM) -> None:
    program = tmp_path / "secret"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{PASSWORD}\nEND\n")
    program.chmod(0o755)
    assert Client(tmp_path, tls, {"password_file": None, "password_command": [str(program)]}).check()[0] == 0


@pytest.mark.parametrize("by_certificate", [False, True])
def test_the_environment_does_not_leak_in(tmp_path: Path, winrm: WinRM, ours: Path, by_certificate: bool) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login wrong password wrong\n")
    nowhere = f"http://127.0.0.1:{free_port()}"
    client = Client(tmp_path, winrm)
    if by_certificate:
        if not winrm.tls:
            return
        client.host = by(ours)
    client.environment = {
        "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere,
        "ALL_PROXY": nowhere, "REQUESTS_CA_BUNDLE": "/nonexistent", "CURL_CA_BUNDLE": "/nonexistent",
        "SSL_CERT_FILE": "/nonexistent", "HOME": str(tmp_path), "SSLKEYLOGFILE": str(tmp_path / "keys"),
    }  # fmt: skip
    code, lines = client.check()
    assert code == 0, lines
    assert not (tmp_path / "keys").exists(), "TLS keys were written down"


def test_findings_and_how_to_mend_them(tmp_path: Path, tls: WinRM) -> None:
    tls.windows = Windows(
        image={"size": 1 << 30, "sparse": False, "compressed": True},
        volume={"free": 1 << 20, "size": 1 << 40, "format": "exFAT"},
        folder_compressed=True, clock=timedelta(minutes=-5), wake_timers=0, restart_pending=True, event_source=False,
        server={"encrypts": False, "smb1": True}, share_encrypts=False, fragments=200_000,
        open={"client": "192.0.2.7", "user": "WORK\\eve"}, sessions=[{"client": "192.0.2.8", "dialect": "2.1"}],
    )  # fmt: skip
    code, out, _ = Client(tmp_path, tls).run("host", "check")
    assert code == 11
    for part in (
        "warn  clock: its clock is 300 seconds behind ours",
        "fail  volume: the volume of D:\\Snapmirror\\snapmirror.img has 1.0 MiB left of 1.0 TiB, less than min_free",
        "exFAT has no sparse files",
        "the image is not marked as sparse",
        'compact /U "D:\\Snapmirror\\snapmirror.img"',
        "it has at least 200,000 fragments",
        "also served without encryption",
        "it still speaks SMB 1",
        "it serves SMB 2.1 to 192.0.2.8",
        "others have the image open: WORK\\eve on 192.0.2.7",
        "goes to sleep after 30 idle minutes, and no timer may wake it",
        "a restart of Windows is pending",
        "it has no source 'snapmirror'",
    ):
        assert part in out, f"{part!r} is not in\n{out}"
    assert all("      " in line or line[4:6] == "  " for line in out.splitlines())


def test_an_account_with_few_rights_is_told_what_it_cannot_see(tmp_path: Path, tls: WinRM) -> None:
    tls.windows.unknown = {"server": "Access denied", "share_encrypts": "Access denied", "open": "Zugriff verweigert"}
    tls.windows.native = {"fragments": (1, "fsutil ended with 1: needs administrative privileges")}
    code, out, _ = Client(tmp_path, tls).run("host", "check")
    assert code == 3
    assert "warn  rights: who has the image open cannot be seen: Zugriff verweigert" in out
    assert "how many fragments the image has cannot be seen: fsutil ended with 1: needs administrative" in out
    assert "served" not in out, "what is not known is not guessed"


def test_a_windows_that_cannot_hibernate(tmp_path: Path, tls: WinRM) -> None:
    tls.windows.unknown = {"hibernate_seconds": "powercfg does not know HIBERNATEIDLE", "wake_timers": "the same"}
    assert Client(tmp_path, tls).check()[0] == 0
    tls.windows.unknown["sleep_seconds"] = "powercfg ended with 1"
    assert Client(tmp_path, tls).check()[0] == 3


def test_an_account_that_cannot_even_see_the_share(tmp_path: Path, tls: WinRM) -> None:
    tls.windows.unknown = dict.fromkeys(("path", "volume", "folder_compressed", "image"), "Access denied")
    code, out, _ = Client(tmp_path, tls).run("host", "check")
    assert code == 3
    assert "set image_path in [host], or use an administrator's account" in out
    assert tls.scripts() == ["system", "image"]
    tls.windows.unknown = {}
    path = "E:\\Ein Ordner\\x.img"
    tls.windows.path = path
    assert Client(tmp_path, tls, {"image_path": path}).check()[1]["image"]["message"].startswith(f"it is {path}")
    assert tls.calls[3] == ("image", {"path": path})


def test_the_doctor_tells_whether_it_answers(tmp_path: Path, tls: WinRM) -> None:
    for options, level, part in (
        ({}, "ok", "answers: Windows 10.0"),
        ({"port": free_port()}, "warn", "does not answer"),
    ):
        _, out, _ = Client(tmp_path, tls, options).run("doctor", "--json")
        [line] = [check for check in json.loads(out)["checks"] if check["topic"] == "host"]
        assert line["level"] == level
        assert part in line["message"]


def test_an_account_of_a_domain(tmp_path: Path, winrm: WinRM) -> None:
    assert Client(tmp_path, winrm, {"user": "WORK\\snapmirror"}).check()[0] == 0


def test_the_double_takes_only_what_is_shipped(tmp_path: Path, tls: WinRM) -> None:
    login = Login("127.0.0.1", tls.port, "https", USER, PASSWORD, str(tls.ca_file), None, None, timeout=20)
    shipped = (SCRIPTS / "task.ps1").read_text()
    for script, parameters in (
        (shipped + " ", {"task": "x"}),
        (shipped.replace("/Run", "/Delete"), {"task": "x"}),
        (shipped, {"path": "x"}),
        (shipped, {"task": {"a": "table"}}),
    ):
        with pytest.raises(HostError):
            ask(login, script, parameters)
        assert tls.refused.pop()
    assert ask(login, shipped, {"task": "'; Remove-Item C:\\ -Recurse #"}) == {"done": True}
    assert tls.windows.tasks == ["'; Remove-Item C:\\ -Recurse #"]


@pytest.mark.parametrize("form", [None, [], {}, {"value": [], "Count": 0}])
def test_nobody_in_each_of_the_forms_that_powershell_has_for_it(tmp_path: Path, tls: WinRM, form: Any) -> None:
    tls.windows.open = form
    assert Client(tmp_path, tls).check()[1]["open"]["message"] == "nobody has the image open"


@pytest.mark.parametrize("form", ["one", "list", "table"])
def test_this_machine_in_each_of_those_forms(tmp_path: Path, tls: WinRM, form: str) -> None:
    one = {"client": "127.0.0.1", "user": "WINHOST\\snapmirror"}
    tls.windows.open = {"one": one, "list": [one, one], "table": {"value": [one], "Count": 1}}[form]
    assert Client(tmp_path, tls).check()[1]["open"]["message"].startswith("this machine has the image open")


@pytest.mark.parametrize(
    ("mode", "said", "both"),
    [
        ("closes", "broke off", True),
        ("closes half way", "broke off", True),
        ("redirects", "broke off", True),
        ("is a web server", "HTTP status 404", True),
        ("5 MB", "sends more than", True),
        ("never stops sending", "sends more than", True),
        ("5 MB in pieces", "sends more than", True),
        ("fault", "reports a fault: The WS-Management service cannot process the request: quota exceeded.", True),
        ("denies", "lets snapmirror log in, but not run anything", True),
        ("in clear", "does not encrypt", False),
    ],
)
def test_a_host_that_misbehaves(tmp_path: Path, winrm: WinRM, mode: str, said: str, both: bool) -> None:
    if winrm.tls and not both:
        return
    winrm.mode = mode
    assert said in Client(tmp_path, winrm).error()
    if mode == "in clear":
        winrm.shells.clear()  # its name came in clear: nobody could know whether that is it


SHELL = '<w Name="ShellId">A</w><CommandId>B</CommandId>'


@pytest.mark.parametrize(
    "body",
    [
        "<", "<x>" * 10_000 + "</x>" * 10_000, '<w Name="ShellId"/>', f'{SHELL}<Stream Name="stdout">?</Stream>',
        f'{SHELL}<x State="CommandState/Done"><ExitCode>x</ExitCode></x>',
    ],
)  # fmt: skip
def test_a_host_that_answers_nonsense(tmp_path: Path, tls: WinRM, body: str) -> None:
    tls.mode, tls.garbage = "garbage", body
    assert Client(tmp_path, tls, {"timeout_seconds": 2}).error()


@pytest.mark.parametrize("printed", ["Windows PowerShell", '{"error": null}', "[" * 100_000, '{"facts": {"now": 1}}'])
def test_scripts_that_print_nonsense(tmp_path: Path, tls: WinRM, printed: str) -> None:
    tls.mode, tls.printed = "prints", printed
    code, _ = Client(tmp_path, tls).check()
    assert code in (0, 11)


def test_facts_of_other_kinds_than_they_should_be(tmp_path: Path, tls: WinRM) -> None:
    odd: Any = "soon"
    numbers: Any = [1]
    tls.windows = Windows(
        image=numbers, volume={"free": 10**400, "size": -1, "format": 7}, folder_compressed=odd, sleep_seconds=odd,
        hibernate_seconds=odd, wake_timers=odd, restart_pending=odd, event_source=odd, server=odd, share_encrypts=odd,
        open=[odd, {"user": 5}], sessions={"Count": 1}, fragments=odd, path="D:\\\x1b[2J\n.img",
    )  # fmt: skip
    code, out, err = Client(tmp_path, tls).run("host", "check")
    assert code in (0, 3), err
    assert "\x1b" not in out
    assert Client(tmp_path, tls).run("host", "prepare", "--dry-run")[0] == 0


@pytest.mark.parametrize("mode", ["hangs", "drips", "a script that never ends"])
def test_every_call_has_an_end(tmp_path: Path, winrm: WinRM, mode: str) -> None:
    winrm.mode = mode
    assert Client(tmp_path, winrm, {"timeout_seconds": 1}).error() == (
        "the Windows host 127.0.0.1 did not answer within 1 seconds"
    )


def test_nobody_there(tmp_path: Path, tls: WinRM) -> None:
    assert "does not answer (127.0.0.1 port" in Client(tmp_path, tls, {"port": free_port()}).error()


def test_a_wrong_password_is_tried_once(tmp_path: Path, winrm: WinRM) -> None:
    assert "refuses the login of snapmirror" in Client(tmp_path, winrm, password="wrong").error()
    assert winrm.logins == ["NTLM bad"], "more tries would lock the account"


def test_another_certificate(tmp_path: Path, tls: WinRM, ours: Path) -> None:
    assert "is not trusted" in Client(tmp_path, tls, {"ca_file": str(ours)}).error()
    assert not tls.logins, "no login may be tried on a host that is not the right one"


def test_a_certificate_that_is_made_out_to_another_name(tmp_path: Path, tls: WinRM) -> None:
    assert "is not trusted" in Client(tmp_path, tls, {"address": "localhost"}).error()
    assert not tls.logins


def test_nothing_is_ever_said_in_clear(tmp_path: Path, http: WinRM) -> None:
    """A host without TLS that is asked with TLS, also for Basic; the double would take note of a login in clear."""
    http.refused.clear()
    http.logins.clear()
    for transport in ("https", "basic"):
        options = {"transport": transport, "ca_file": str(http.ca_file)}
        assert "broke off" in Client(tmp_path, http, options).error()
    assert not http.logins
    settled(http)


def test_files_that_others_can_read_or_that_are_missing(tmp_path: Path, tls: WinRM) -> None:
    client = Client(tmp_path, tls)
    client.configured()
    (tmp_path / "password").chmod(0o644)
    assert client.error() == f"{tmp_path}/password can be read by others"
    (tmp_path / "password").write_text("\n")
    (tmp_path / "password").chmod(0o600)
    assert "gives no password" in client.error()
    assert client.run("host", "check")[0] == 11
    client.host = {"ca_file": "/nonexistent/ca.pem"}
    (tmp_path / "password").write_text("x\n")
    assert client.error() == "/nonexistent/ca.pem is missing"
    assert not tls.calls


def test_no_secret_in_arguments_environment_or_log(tmp_path: Path, tls: WinRM) -> None:
    tls.mode = "a script that never ends"
    process = Client(tmp_path, tls, {"timeout_seconds": 600}).start("host", "check")
    try:
        until(lambda: tls.calls, "a script has come")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(family) >= 2
        for member in family:
            seen = Path(f"/proc/{member.pid}/cmdline").read_bytes() + Path(f"/proc/{member.pid}/environ").read_bytes()
            assert PASSWORD.encode() not in seen
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    settled(tls)  # the shell is deleted by who is stopped, too
    tls.mode = ""
    secret = tmp_path / "password"
    code, out, err = Client(tmp_path, tls).run("host", "check")  # asserts that it is not in there
    verbose = subprocess.run(
        [sys.executable, "-m", "snapmirror", "--verbose", "--config", tmp_path / "snapmirror.toml", "host", "check"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert secret.read_text().strip() not in verbose.stdout + verbose.stderr + out + err
    assert code == 0


def test_prepare_shows_and_does(tmp_path: Path, tls: WinRM) -> None:
    image = {"size": 1 << 30, "sparse": False, "compressed": False}
    tls.windows = Windows(image=image, share_encrypts=False, event_source=False, folder_compressed=True)
    client = Client(tmp_path, tls)
    code, out, _ = client.run("host", "prepare", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "would: make the source 'snapmirror' of the event log Application",
        "would: end the compression of new files in D:\\Snapmirror",
        "would: mark D:\\Snapmirror\\snapmirror.img as sparse",
        "would: serve the share backup only encrypted",
    ]
    assert not set(tls.scripts()) & {"event-source", "uncompress", "sparse", "encrypt-share"}
    code, out, _ = client.run("--quiet", "host", "prepare", "--json")
    steps = json.loads(out)["steps"]
    assert code == 0
    assert [step["done"] for step in steps] == [True] * 4
    assert client.run("host", "prepare")[1] == "nothing to do\n"
    assert client.check()[0] == 0


def test_prepare_goes_on_after_a_step_that_fails(tmp_path: Path, tls: WinRM) -> None:
    tls.windows = Windows(share_encrypts=False, event_source=False)
    tls.windows.native = {"event-source": (5, "Requested registry access is not allowed.")}
    code, out, err = Client(tmp_path, tls).run("--quiet", "host", "prepare")
    assert code == 11
    assert "event log Application: Requested registry access is not allowed." in err
    assert "done: serve the share backup only encrypted" in out
    assert tls.windows.share_encrypts


def test_without_a_section_host(tmp_path: Path) -> None:
    config = tmp_path / "snapmirror.toml"
    config.write_text(f'[store]\npath = "{tmp_path}/store"\n[[mirror]]\nname = "m"\nsource = "/etc"\n')
    done = subprocess.run(
        [sys.executable, "-m", "snapmirror", "--config", config, "host", "check"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "has no section [host]" in done.stderr
