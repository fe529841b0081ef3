"""What the Windows host's two keys may do in the appliance, and what they may not."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.cli.app import app
from tests.unit.test_appliance import PROGRAMS, program

gate = program("gate")
allowed, runs, reading = gate.allowed, gate.runs, sys.modules["reading"]
CLI: Any = typer.main.get_command(app)
WINDOWS = {"share": {"unc": "//10.253.71.1/snapmirror"}, "copy": {"destination": "/mnt/usb"}}
CONFIG = """
[store]
path = "/srv/snapmirror"
[share]
unc = "//10.253.71.1/snapmirror"
[[mirror]]
name = "web1"
[[mirror]]
name = "web2"
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, settings and a record of runs of its own."""
    monkeypatch.setattr(gate, "CONFIG", tmp_path / "snapmirror.toml")
    monkeypatch.setattr(gate, "SETTINGS", tmp_path / "appliance.toml")
    monkeypatch.setattr(runs, "FILE", tmp_path / "gate-runs")
    (tmp_path / "snapmirror.toml").write_text(CONFIG)
    return tmp_path


def request(*words: object) -> str:
    return f"snapmirror {base64.b64encode(json.dumps(words).encode()).decode()}"


def for_snapmirror(argv: Sequence[str]) -> list[str]:
    """The words that snapmirror gets."""
    return list(argv[argv.index("/usr/local/bin/snapmirror") + 1 :])


# -- commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "a b", 'it\'s "x"', "$(reboot)", "Ärger/\\n *", "--", "--to", "-n", "\udcff"])
def test_a_command_arrives_word_by_word(path: str) -> None:
    argv = gate.argv_of(request("find", "--mirror=web1", "--json", "--", path))
    assert argv == ["/usr/local/bin/snapmirror", "find", "--mirror", "web1", "--json", "--", path]


def test_a_run_outlives_its_connection() -> None:
    argv = gate.argv_of(request("run", "--json", "web1"))
    assert argv[0] == "/usr/bin/systemd-run"
    assert argv[argv.index("--") :] == ["--", "/usr/local/bin/snapmirror", "run", "--json", "--", "web1"]
    assert {"--wait", "--pipe", "--property=KillMode=process"} <= set(argv), "its output and exit code are handed on"
    assert any("night_ended.py" in word for word in argv), "logins are told of it, as of cron's"
    assert not any("night_ended.py" in word for word in gate.argv_of(request("run", "-n")))


def test_a_copy_outlives_its_connection_as_well() -> None:
    argv = gate.argv_of(request("copy-image", "//10.253.71.1/usb"))
    assert argv[0] == "/usr/bin/systemd-run"
    assert not any("night_ended.py" in word for word in argv), "it is no night"


REFUSED = [
    "", "sh", "snapmirror", "snapmirror list", "snapmirror list x", "snapmirror 'x", "scp -t /etc",
    "/usr/lib/openssh/sftp-server -e", request(), request("--config", "/tmp/mine", "run"), request("config"),
    request("config", "sample"), request("export", "serve"), request("host"), request("mount", "/etc"),
    request("list", "--config", "/tmp/mine"), request("list", "--config=/tmp/mine"), request("find", "-x"),
    request("restore", "newest", ".", "--to", "/root"), request("restore", "newest", ".", "--to=/root"),
    request("restore", "--push", "--to", "/root", "--", "newest", "."), request("restore", "newest", "."),
    request("restore", "newest", ".", "--", "--push"), request("restore", "--push=yes", "newest", "."),
    request("copy-image", "/etc/cron.d"), request("copy-image", "etc/cron.d"), request("copy-image", "~"),
    request("copy-image", "--", "/etc/cron.d"), request("copy-image", "/\\10.253.71.1/usb"),
    request("copy-image", "//10.253.71.1/usb/../../etc"), request("copy-image", "//10.253.71.1/usb,credentials=/x"),
    request("copy-image", "//10.253.71.1/SnapMirror/again"), request("copy-image", "//10.253.71.1/usb", "/etc"),
    request("verify", "--mirror", "../x"), request("verify", "--seed", "x"), request("run", "web1\n"),
    request("run", "--", "--accept-changes"), request("diff", "1", "2", "3", "4"), request("list", "--mirror"),
    request("retire", "../x"), request("retire", "a", "b"),
    request("list", 1), request("list", "a\0b"), request("find", "\ud800"), request("list") + " x",
    request("list") + "; reboot", "snapmirror eyJhIjoxfQ==", "snapmirror /w==",
    f"snapmirror {base64.b64encode(b'[' * 60_000).decode()}",
]  # fmt: skip
FOR_THE_ADMINISTRATOR = [
    request("forget", "--yes", "1"), request("purge", "--from-history", "etc/x", "--yes"), request("unpin", "newest"),
    request("retire", "web1"), request("retire", "--yes", "--with-pinned", "--", "web1"),
    request("pin", "--mirror", "web1", "--", "newest"),
    request("run", "--accept-changes"), request("run", "--json", "--accept-changes", "web1"),
    request("doctor", "--storage"), request("host", "prepare"), request("copy-image", "//other/share"),
    request("copy-image", "\\\\other\\share"),
]  # fmt: skip


def ask(asked: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The very program, with the machine's own configuration, which is not there."""
    return subprocess.run(
        [sys.executable, "-I", PROGRAMS / "gate.py", *words],
        env={"SSH_ORIGINAL_COMMAND": asked}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_everything_else_is_refused(machine: Path) -> None:
    for asked, admin in itertools.product(REFUSED, (False, True)):
        with pytest.raises(gate.RefusedError):
            gate.argv_of(asked, admin=admin)


@pytest.mark.parametrize("asked", [REFUSED[0], REFUSED[-1], request("unpin", "1"), request("copy-image", "/etc")])
def test_a_refusal_is_a_sentence(asked: str) -> None:
    done = ask(asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("snapmirror: error: ")


@pytest.mark.parametrize("asked", FOR_THE_ADMINISTRATOR)
def test_what_shortens_history_or_leads_elsewhere_asks_for_the_second_key(asked: str) -> None:
    with pytest.raises(gate.RefusedError) as refused:
        gate.argv_of(asked)
    assert "administrator's key" in refused.value.hint
    assert for_snapmirror(gate.argv_of(asked, admin=True))


def test_a_copy_goes_to_the_host_of_the_share_only(machine: Path) -> None:
    for given_ in ("//10.253.71.1/usb", "\\\\10.253.71.1\\usb\\folder", "//10.253.71.1/usb/folder/"):
        argv = for_snapmirror(gate.argv_of(request("copy-image", "--json", given_)))
        assert argv == ["copy-image", "--json", "--", given_.replace("\\", "/")]
    assert for_snapmirror(gate.argv_of(request("copy-image"))) == ["copy-image"], "to where the configuration says"
    (machine / "snapmirror.toml").write_text("[share]\nunc = 5\n")
    with pytest.raises(gate.RefusedError):
        gate.argv_of(request("copy-image", "//10.253.71.1/usb"))


def test_a_client_sets_no_variables_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *args: seen.append(args))
    gate.main([], {"SSH_ORIGINAL_COMMAND": request("status"), "LC_ALL": "xx", "PYTHONPATH": "/tmp", "LD_PRELOAD": "x"})
    [(program_, argv, environment)] = seen
    assert (program_, argv) == ("/usr/local/bin/snapmirror", ["/usr/local/bin/snapmirror", "status"])
    assert not {"LC_ALL", "PYTHONPATH", "LD_PRELOAD", "SSH_ORIGINAL_COMMAND"} & set(environment)


# -- requests drawn at random, judged by what snapmirror itself understands ---------------------------------------


def commands(group: Any = CLI, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of snapmirror, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands())
OPTIONS = sorted({option for command in COMMANDS.values() for one in command.params for option in one.opts})


def understood(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """The command, and the value of each of its parameters, as snapmirror reads these words; None: it refuses them."""
    name = next((name for name in (tuple(words[:2]), tuple(words[:1])) if name in COMMANDS), None)
    if name is None:
        return None
    try:
        context = COMMANDS[name].make_context(" ".join(name), list(words[len(name) :]))
    except Exception as error:
        assert type(error).__module__.startswith(("typer", "click")), error
        return None
    return name, context.params


WORDS = st.one_of(
    st.sampled_from([option for option in OPTIONS if option.startswith("-")]),
    st.sampled_from(
        ["--", "-", "web1", "web2", "newest", "1", "2026-11-20", "50%", "/", "etc/hosts", "serve", "check"]
    ),
    st.sampled_from(
        ["/etc/cron.d", "//10.253.71.1/usb", "//other/share", "\\\\10.253.71.1\\usb", "/\\10.253.71.1/usb"]
    ),
    st.sampled_from(["--to=/etc", "--accept-changes=", "--mirror=web1", "--config=/x", "-ny", "--acc", "--push=--to"]),
    st.text(max_size=6),
)
REQUESTS = st.builds(
    lambda name, words: [*name, *words], st.sampled_from(sorted(COMMANDS)), st.lists(WORDS, max_size=6)
)


@settings(max_examples=1500, deadline=None)
@given(words=REQUESTS, admin=st.booleans())
def test_whatever_is_asked_nothing_comes_through_but_what_the_key_is_for(words: list[str], admin: bool) -> None:
    try:
        asked = allowed.read(words, admin, WINDOWS)
    except allowed.RefusedError as refused:
        assert str(refused)
        return
    meant, was = understood(asked.argv), understood(words)
    if asked.command != "copy-image":  # (whose backslashes become slashes)
        assert meant == was, "it means what was asked for"
    if meant is None:
        return  # too few words: snapmirror says so
    name, values = meant
    assert name not in {("export", "serve"), ("config", "sample")} and values.get("to") is None
    if not admin:
        assert name not in {("pin",), ("unpin",), ("forget",), ("purge",), ("retire",), ("host", "prepare")}
        assert not values.get("accept_changes") and not values.get("storage")
    if name == ("copy-image",) and values["destination"] is not None:
        assert values["destination"].startswith("//" if admin else "//10.253.71.1/usb")
    if name == ("restore",):
        assert values["push"]


@settings(max_examples=300, deadline=None)
@given(asked=st.one_of(st.text(), st.binary().map(lambda it: f"snapmirror {base64.b64encode(it).decode()}")))
def test_whatever_comes_is_refused_in_a_sentence(asked: str) -> None:
    with pytest.raises(gate.RefusedError):
        gate.argv_of(asked)


def test_what_the_keys_are_for_are_commands_and_options_of_snapmirror() -> None:
    for table in (allowed.EVERYDAY, allowed.ADMIN):
        for name, command in table.items():
            known = {option for one in COMMANDS[tuple(name.split())].params for option in one.opts}
            assert set(command.options) <= known, name
    for short, long in allowed._SHORT.items():
        assert any({short, long} <= set(one.opts) for command in COMMANDS.values() for one in command.params)
    assert set(allowed.EVERYDAY) < set(allowed.ADMIN)


# -- how often ---------------------------------------------------------------------------------------------------


def run(*words: str) -> str:
    """A run by the everyday key; gives the id by which it is struck out."""
    argv = gate.argv_of(request("run", *words))
    [after] = [word.split()[-1] for word in argv if "--ended" in word]
    return str(after)


def test_a_mirror_has_so_many_runs_a_day_by_the_everyday_key(machine: Path) -> None:
    for _ in range(2):
        run("web1")
        run()  # of both
    with pytest.raises(gate.RefusedError, match="web1 within a day") as refused:
        run("web1")
    assert refused.value.exit_code == 13, "as other guards'"
    with pytest.raises(gate.RefusedError):
        run("--full")
    run("web2")
    gate.argv_of(request("run", "--dry-run", "web1"))
    assert not any("--ended" in word for word in gate.argv_of(request("run", "web1"), admin=True)), "does not count"
    (machine / "appliance.toml").write_text("key_runs_a_day = 5\n")
    run("web1")


def test_a_day_later_there_are_runs_again() -> None:
    now = time.time()
    for hours in range(4):
        runs.begin(["web1"], 4, now=now + 3600 * hours)
    for moment in (now + 4 * 3600, now - 10 * 86400, now + 86399):  # a clock that was put back helps nobody
        with pytest.raises(gate.RefusedError):
            runs.begin(["web1"], 4, now=moment)
    runs.begin(["web1"], 4, now=now + 86401)
    with pytest.raises(gate.RefusedError):
        runs.begin(["web1"], 4, now=now + 86402)


@pytest.mark.parametrize(
    ("words", "status", "counts"),
    [
        (["web1"], "0", True), (["web1"], "3", True), (["web1"], "12", False), (["web1"], "13", False),
        (["web1"], "20", True), (["web1"], "", True), (["web1"], "143", True), (["web1"], "10", False),
        ([], "12", True), ([], "10", False), ([], "2", False), (["web1", "web2"], "13", True),
    ],
)  # fmt: skip
def test_a_run_that_published_nothing_does_not_count(words: list[str], status: str, counts: bool) -> None:
    """Of several mirrors the worst counts: another may have been published."""
    for _ in range(4):
        gate.main(["--ended", run(*words)], {"EXIT_STATUS": status})
    if counts:
        with pytest.raises(gate.RefusedError):
            run("web1")
    else:
        run("web1")


def test_runs_are_counted_where_the_names_of_mirrors_cannot_be_read(machine: Path) -> None:
    (machine / "snapmirror.toml").write_text("mirror = 5")
    for _ in range(4):
        run()
    for words in ([], ["web1"]):
        with pytest.raises(gate.RefusedError):
            run(*words)


def test_half_a_record_is_no_obstacle(machine: Path) -> None:
    runs.FILE.write_bytes(b'{"at": 1\n\xff\n[]\n{"at": "x", "id": 1, "mirrors": []}\n' + b"[" * 5000)
    run()


@settings(max_examples=60, deadline=None)
@given(tries=st.lists(st.tuples(st.sets(st.sampled_from(["web1", "web2"])), st.sampled_from(["0", "10", "12", "13"]))))
def test_however_runs_are_mixed_no_mirror_is_published_more_often(tries: list[tuple[set[str], str]]) -> None:
    """As far as one can tell from outside: 12 and 13 of several may have published all but one."""
    runs.FILE.unlink(missing_ok=True)
    published = {"web1": 0, "web2": 0}
    for names, status in tries:
        try:
            name = run(*names)
        except gate.RefusedError:
            continue
        gate.main(["--ended", name], {"EXIT_STATUS": status})
        for one in names or published:
            published[one] += status == "0" or (status in ("12", "13") and len(names) != 1)
    assert max(published.values()) <= 4


# -- reading by sftp ---------------------------------------------------------------------------------------------


def properties(argv: Sequence[str]) -> list[str]:
    return [word.removeprefix("--property=") for word in argv if word.startswith("--property=")]


def shown(argv: Sequence[str]) -> set[str]:
    """What is bound into the root of sftp-server."""
    binds = [one.partition("=")[2] for one in properties(argv) if one.startswith("Bind") and "Paths=" in one]
    assert not any(one.startswith("BindPaths=") for one in properties(argv)), "to write into"
    return {one.removeprefix("-").partition(":")[0] for one in binds}


OURS = {"/dev/null", "/usr/local/lib/snapmirror-vm/reader", "/usr/lib/openssh/sftp-server"}


def is_library(path: str) -> bool:
    return ".so." in path and path.startswith(("/usr/lib/", "/lib"))


@pytest.mark.parametrize("asked", ["/usr/lib/openssh/sftp-server", "internal-sftp"])
def test_sftp_has_a_root_of_its_own_with_the_store_the_reports_and_the_header(machine: Path, asked: str) -> None:
    state = machine / "state"
    state.mkdir()
    for name in ("a.status.json", "a.json", "a.lock", "b.json", "header", "run.json", "secret"):
        (state / name).write_text("x")
    (state / "b.json").unlink()
    (state / "b.json").symlink_to("/etc/shadow")
    (machine / "snapmirror.toml").write_text(
        f'[store]\npath = "/srv/snapmirror"\nstate_dir = "{state}"\n[image]\nheader_backup = "{state}/header"\n'
        f'key_file = "{state}/secret"\n[report]\njson_file = "{state}/run.json"\nmetrics_file = "{state}/b.json"\n'
    )
    argv = gate.argv_of(asked)
    assert argv[-3:] == ["--", "/usr/lib/openssh/sftp-server", "-R"]
    assert "TemporaryFileSystem=/:ro" in properties(argv), "an empty root"
    wanted = {f"{state}/{name}" for name in ("a.status.json", "a.json", "header", "run.json")} | {"/srv/snapmirror"}
    assert {one for one in shown(argv) if not is_library(one)} == wanted | OURS


def test_sftp_server_is_not_root_and_can_but_read() -> None:
    found = properties(gate.argv_of("internal-sftp"))
    assert [one for one in found if one.startswith("User=")] == ["User=snapmirror-read"]
    capabilities = [one.partition("=")[2] for one in found if "Capabilit" in one]
    assert capabilities == ["CAP_DAC_READ_SEARCH", "CAP_DAC_READ_SEARCH"], "files of every owner and mode"
    assert any(one.startswith("SystemCallFilter=~") and "open_by_handle_at" in one for one in found), "but by name only"
    assert {"NoNewPrivileges=yes", "PrivateNetwork=yes", "DevicePolicy=strict", "DeviceAllow=/dev/null rw"} <= set(
        found
    )
    line = (PROGRAMS / "reader").read_text()
    assert line.startswith("snapmirror-read:x:") and line.count(":") == 6


@pytest.mark.parametrize("path", [
    "/", "/etc", "/etc/snapmirror", "/root", "/proc", "/proc/1/root", "/var", "/var/lib", "/run", "/usr", "/dev/x",
    "/srv/../etc", "srv", "", "/srv/a:b", "/srv/a b", "/srv/%n", "//srv", "/srv/a\\nb",
])  # fmt: skip
def test_a_store_that_holds_the_machine_itself_is_not_shown(machine: Path, path: str) -> None:
    (machine / "snapmirror.toml").write_text(f"[store]\npath = {json.dumps(path)}\n")
    with pytest.raises(gate.RefusedError, match="cannot be shown"):
        gate.argv_of("internal-sftp")


def test_without_a_configuration_nothing_is_shown(machine: Path) -> None:
    (machine / "snapmirror.toml").write_text("[store")
    with pytest.raises(gate.RefusedError):
        gate.argv_of("internal-sftp")


VALUES = st.one_of(
    st.sampled_from(["/", "/etc", "/etc/shadow", "/root", "/srv/snapmirror", "/proc/self/root", "/srv/..", "/x:/y"]),
    st.text(max_size=8), st.integers(), st.lists(st.just("/etc")), st.none(),
    st.dictionaries(st.just("path"), st.just("/etc")),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(config=st.dictionaries(
    st.sampled_from(["store", "image", "report"]),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["path", "state_dir", "json_file", "file"]), VALUES)),
))  # fmt: skip
def test_whatever_the_configuration_says_what_is_closed_is_not_shown(config: dict[str, Any]) -> None:
    try:
        found = {
            one.removeprefix("BindReadOnlyPaths=").removeprefix("-")
            for one in reading.properties_of(config)
            if "Paths" in one
        }
    except allowed.RefusedError:
        return
    for bind in found:
        source, _, target = bind.partition(":")
        assert ":" not in target and " " not in bind
        # (a report that is said to be a file of /etc: root has said so, and it is one file)
        assert source in OURS or is_library(source) or os.path.isfile(source) or source.startswith("/srv"), bind
        assert source not in ("/", "/etc", "/root", "/proc") and "/.." not in source


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/srv/snapmirror", "srv-snapmirror.mount"),
        ("/srv/a-b/c@d", "srv-a\\x2db-c\\x40d.mount"),
        ("/.x/y", "\\x2ex-y.mount"),
    ],
)
def test_the_unit_of_a_mount_is_called_as_systemd_calls_it(path: str, unit: str) -> None:
    assert reading.mount_unit(path) == unit
