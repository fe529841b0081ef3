"""Every script for the Windows host, run by PowerShell 7 on doubles, in all its paths, and read by the Python side."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from snapmirror.config import Config, parse
from snapmirror.tools.winrm import ScriptError
from snapmirror.windows import checks
from snapmirror.windows.facts import survey
from tests.support.host_scripts import Case, EngineHost, Ran, run_all
from tests.support.windows import Windows
from tests.support.winrm import SCRIPTS

# As Windows prints it, in German: the values are the last two numbers.
_POWER = """GUID des Energieschemas: 381b4222-f694-41f0-9685-ff5bb260df2e  (Ausbalanciert)
  GUID-Alias: SCHEME_BALANCED
    Minimal m\u00f6gliche Einstellung: 0x00000000
    Maximal m\u00f6gliche Einstellung: 0xffffffff
  Index der aktuellen Wechselstromeinstellung: {on_mains}
  Index der aktuellen Gleichstromeinstellung: 0x00000384
"""
_EXTENTS = """VCN: 0x0        Clusters: 0x100      LCN: 0x12345
VCN: 0x100      Clusters: 0x4000     LCN: 0xffffffffffffffff
VCN: 0x4100     Clusters: 0x10       LCN: 0x99
"""
_DENIED = "The source was not found, but some or all event logs could not be searched.  Inaccessible logs: Security."
_ENCRYPTED = {"Name": "snapmirror", "Path": "?", "EncryptData": True}
_US = {"Path": "?", "ClientComputerName": "192.0.2.7", "ClientUserName": "WINHOST\\snapmirror"}
_SESSION = {"ClientComputerName": "192.0.2.7", "ClientUserName": "WINHOST\\snapmirror", "Dialect": "3.1.1"}
_SERVER = {"EncryptData": False, "EnableSMB1Protocol": True}
_REGISTRY = (
    "SYSTEM/CurrentControlSet/Services/EventLog/Application/snapmirror",
    "SOFTWARE/Microsoft/Windows/CurrentVersion/WindowsUpdate/Auto Update/RebootRequired",
)
_MESSAGE = 'snapmirror: done\nweb: it\'s "x" $(Remove-Item) \u00c4rger \u2019'


def power(*settings: str) -> dict[str, tuple[int, str]]:
    values = {"STANDBYIDLE": "0x00000708", "HIBERNATEIDLE": "0x00000000", "RTCWAKE": "0x00000001"}
    return {f"powercfg.exe {one}": (0, _POWER.format(on_mains=values[one])) for one in settings}


def cases(place: Path) -> dict[str, Case]:
    """Every script, in every path that it has."""
    for key in _REGISTRY:
        (place / "registry" / key).mkdir(parents=True)
    (place / "empty").mkdir()
    image = place / "image's [1]" / "snapmirror.img"
    image.parent.mkdir()
    image.write_bytes(b"12345")
    path, shares = (
        {"path": str(image)},
        [{"Name": "other", "Path": "/x"}, {"Name": "snapmirror", "Path": str(image.parent)}],
    )
    by_share = {"share": "snapmirror", "file": image.name}
    sharing = {"share": "snapmirror", "path": str(image)}
    us, them = {**_US, "Path": str(image)}, {**_US, "Path": str(image), "ClientComputerName": "192.0.2.8"}
    attributes = {"folder": "Directory", "image": "Archive, SparseFile"}
    registry, open_share = {"registry": str(place / "registry")}, {**_ENCRYPTED, "EncryptData": False}
    served: dict[str, Any] = {"server": _SERVER, "smb_shares": [_ENCRYPTED]}
    return {
        "system": Case("system", {}, registry, power("STANDBYIDLE", "HIBERNATEIDLE", "RTCWAKE")),
        "system: nothing in the registry": Case("system", {}, {"registry": str(place / "empty")}),
        "system: no hibernation, wake timers unknown": Case(
            "system", {}, {},
            {**power("STANDBYIDLE"), "powercfg.exe HIBERNATEIDLE": (1, "?"), "powercfg.exe RTCWAKE": (0, "?")},
        ),
        "image": Case("image", path, {"attributes": attributes}),
        "image: by its share": Case("image", by_share, {"attributes": attributes, "shares": shares}),
        "image: compressed": Case(
            "image", path, {"attributes": {"folder": "Directory, Compressed", "image": "Archive, Compressed"}}
        ),
        "image: none": Case("image", {"path": str(image.parent / "none.img")}, {"attributes": attributes}),
        "image: no folder": Case("image", {"path": str(place / "none" / "x.img")}),
        "image: no such share": Case("image", {"share": "gone", "file": "x.img"}, {"shares": shares}),
        "image: WMI refuses": Case("image", by_share, {"shares": shares, "broken": "Get-CimInstance"}),
        "sharing": Case("sharing", sharing, {**served, "opened": [us], "sessions": [_SESSION]}),
        "sharing: nobody": Case("sharing", sharing, {**served, "opened": [{**us, "Path": "/x"}]}),
        "sharing: two": Case("sharing", sharing, {**served, "opened": [us, them], "sessions": [_SESSION] * 2}),
        "sharing: no such share": Case("sharing", {**sharing, "share": "gone"}, served),
        "sharing: no rights": Case("sharing", sharing, {**served, "broken": "Get-SmbOpenFile"}),
        "fragments": Case("fragments", path, {}, {"fsutil.exe": (0, _EXTENTS)}),
        "fragments: one": Case("fragments", path, {}, {"fsutil.exe": (0, _EXTENTS.splitlines()[0])}),
        "fragments: none": Case("fragments", path),
        "fragments: refused": Case("fragments", path, {}, {"fsutil.exe": (5, "Error:  Access is denied.\nTwice.")}),
        "fragments: too many": Case(
            "fragments", path, {}, {"fsutil.exe": (1, "VCN: 0x0 Clusters: 0x1 LCN: 0x9\n" * 200_001)}
        ),
        "sparse": Case("sparse", path),
        "sparse: refused": Case("sparse", path, {}, {"fsutil.exe": (1, "Error:  The parameter is incorrect.")}),
        "uncompress": Case("uncompress", {"folder": str(image.parent)}),
        "uncompress: refused": Case("uncompress", {"folder": "D:\\"}, {}, {"compact.exe": (2, "Zugriff verweigert")}),
        "task": Case("task", {"task": "\\Copies\\Night's copy"}),
        "task: refused": Case("task", {"task": "x"}, {}, {"schtasks.exe": (1, "ERROR: cannot find the file.")}),
        "event-source": Case("event-source", {}, {"event_source": False}),
        "event-source: there": Case("event-source", {}, {"event_source": True}),
        "event-source: no rights": Case("event-source", {}, {"event_source": _DENIED}),
        "event-source: refused": Case("event-source", {}, {"event_source": False, "broken": "New-EventLog"}),
        "event": Case("event", {"id": 1000, "level": "Warning", "message": _MESSAGE}, {"event_source": True}),
        "event: no source": Case("event", {"id": 1130, "level": "Error", "message": "x"}, {"event_source": False}),
        "encrypt-share": Case("encrypt-share", {"share": "snapmirror"}, {"smb_shares": [open_share]}),
        "encrypt-share: no such share": Case("encrypt-share", {"share": "gone"}, served),
        "encrypt-share: refused": Case("encrypt-share", {"share": "snapmirror"}, {**served, "broken": "Set-SmbShare"}),
        "awake": Case("awake", {"seconds": 0.2}, {"power": 0x80000000}),
        "awake: refused": Case("awake", {"seconds": 60}, {"power": 0}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def ran(place: Path) -> dict[str, Ran]:
    return run_all(place, cases(place))


def test_every_script_is_run_and_prints_one_line_of_json(ran: dict[str, Ran]) -> None:
    assert {name.partition(":")[0] for name in ran} == {path.stem for path in SCRIPTS.glob("*.ps1")}
    for name, one in ran.items():
        assert not one.stderr, f"{name}: {one.stderr}"
        assert len(one.stdout.strip().splitlines()) == 1, f"{name}: {one.stdout}"


def facts(ran: dict[str, Ran], name: str) -> dict[str, Any]:
    return dict(ran[name].answer()["facts"])


def test_system(ran: dict[str, Ran]) -> None:
    found = facts(ran, "system")
    assert (found["sleep_seconds"], found["hibernate_seconds"], found["wake_timers"]) == (1800, 0, 1)
    assert found["restart_pending"] is True and found["event_source"] is True
    assert ran["system"].programs == [
        ["powercfg.exe", "/qh", "SCHEME_CURRENT", "SUB_SLEEP", one]
        for one in ("STANDBYIDLE", "HIBERNATEIDLE", "RTCWAKE")
    ]
    found = facts(ran, "system: nothing in the registry")
    assert found["restart_pending"] is False and found["event_source"] is False
    answer = ran["system: no hibernation, wake timers unknown"].answer()
    assert answer["facts"]["sleep_seconds"] == 1800
    assert answer["unknown"] == {
        "hibernate_seconds": "powercfg ended with 1", "wake_timers": "powercfg does not know RTCWAKE",
    }  # fmt: skip


def test_image(ran: dict[str, Ran]) -> None:
    found = facts(ran, "image")
    assert found["image"] == {"size": 5, "sparse": True, "compressed": False}
    assert 0 < found["volume"]["free"] <= found["volume"]["size"] and found["volume"]["format"]
    free = ("path", "folder_compressed", "image")
    by_share = facts(ran, "image: by its share")
    assert {key: by_share[key] for key in free} == {key: found[key] for key in free}
    compressed = facts(ran, "image: compressed")
    assert compressed["folder_compressed"] is True
    assert compressed["image"] == {"size": 5, "sparse": False, "compressed": True}
    none = facts(ran, "image: none")
    assert none["image"] is None and none["folder_compressed"] is False
    away = ran["image: no folder"].answer()
    assert away["facts"]["image"] is None and "folder_compressed" in away["unknown"]
    for name, why in {"no such share": "no share is called gone", "WMI refuses": "Get-CimInstance is broken"}.items():
        answer = ran[f"image: {name}"].answer()
        assert answer["facts"] == {} and why in answer["unknown"]["path"]


def test_sharing(ran: dict[str, Ran]) -> None:
    found = facts(ran, "sharing")
    us = {"client": "192.0.2.7", "user": "WINHOST\\snapmirror"}
    assert found["server"] == {"encrypts": False, "smb1": True} and found["share_encrypts"] is True
    assert found["open"] == us and found["sessions"] == {"client": "192.0.2.7", "dialect": "3.1.1"}
    nobody = facts(ran, "sharing: nobody")
    assert nobody["open"] is None and nobody["sessions"] is None
    assert facts(ran, "sharing: two")["open"] == [us, {**us, "client": "192.0.2.8"}]
    gone = ran["sharing: no such share"].answer()
    assert gone["unknown"] == {"share_encrypts": "gone was not found"} and "server" in gone["facts"]
    refused = ran["sharing: no rights"].answer()
    assert "broken" in refused["unknown"]["open"] and "open" not in refused["facts"]


def test_fragments(ran: dict[str, Ran]) -> None:
    assert ran["fragments"].answer() == {"fragments": 2}, "a hole is none"
    assert ran["fragments: one"].answer() == {"fragments": 1}
    assert ran["fragments: none"].answer() == {"fragments": 0}
    assert ran["fragments: too many"].answer() == {"fragments": 200_000}
    assert ran["fragments"].programs[0][1:3] == ["file", "queryextents"]


FAILURES = {
    "fragments: refused": (5, "fsutil ended with 5: Error: Access is denied. Twice."),
    "sparse: refused": (1, "fsutil ended with 1: Error: The parameter is incorrect."),
    "uncompress: refused": (2, "compact ended with 2: Zugriff verweigert"),
    "task: refused": (1, "schtasks ended with 1: ERROR: cannot find the file."),
    "event-source: no rights": (1, _DENIED.replace("  ", " ")),
    "event-source: refused": (1, "New-EventLog is broken (before)"),
    "event: no source": (1, 'The source name "snapmirror" does not exist on computer "localhost".'),
    "encrypt-share: no such share": (1, "gone was not found"),
    "encrypt-share: refused": (1, "Set-SmbShare is broken (before)"),
    "awake: refused": (1, "Windows does not let itself be kept awake"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_script_that_fails_says_why_in_one_sentence_and_ends_with_a_code(ran: dict[str, Ran], name: str) -> None:
    with pytest.raises(ScriptError) as caught:
        ran[name].answer()
    code, sentence = FAILURES[name]
    assert caught.value.native == code
    assert sentence in caught.value.message


DONE = ("sparse", "uncompress", "task", "event-source", "event-source: there", "event", "encrypt-share", "awake")


def test_what_is_done_is_done_with_what_was_given(ran: dict[str, Ran], place: Path) -> None:
    assert all(ran[name].answer() == {"done": True} for name in DONE)
    image = place / "image's [1]" / "snapmirror.img"
    assert ran["sparse"].programs == [["fsutil.exe", "sparse", "setflag", str(image)]]
    assert ran["uncompress"].programs == [["compact.exe", "/U", str(image.parent)]]
    assert ran["task"].programs == [["schtasks.exe", "/Run", "/TN", "\\Copies\\Night's copy"]]
    made = {"LogName": "Application", "Source": ["snapmirror"]}
    assert ran["event-source"].given("New-EventLog") == [made]
    assert not ran["event-source: there"].given("New-EventLog")
    assert ran["event"].given("Write-EventLog") == [
        {"LogName": "Application", "Source": "snapmirror", "EventId": 1000, "EntryType": "Warning", "Message": _MESSAGE}
    ]
    [set_share] = ran["encrypt-share"].given("Set-SmbShare")
    assert (set_share["Name"], set_share["EncryptData"]) == (["snapmirror"], True)
    assert ran["awake"].flags == 0x80000001, "ES_CONTINUOUS and ES_SYSTEM_REQUIRED"
    assert ran["awake"].given("Start-Sleep"), "it runs on after its line"


# -- as they are read ------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(
        tomllib.loads(
            f'[store]\npath = "{tmp_path}/store"\nstate_dir = "{tmp_path}/state"\n'
            '[share]\nunc = "//127.0.0.1/snapmirror"\ncredentials = "/x"\n'
            '[image]\nfile = "snapmirror.img"\nsize = "1G"\nencryption = "none"\n'
            '[[mirror]]\nname = "m"\nsource = "/etc"\n'
            '[host]\naddress = "127.0.0.1"\ntransport = "http"\nuser = "u"\npassword_file = "/x"\n'
        )
    )


def test_a_survey_of_what_the_engine_prints(ran: dict[str, Ran], config: Config) -> None:
    assert config.host is not None
    told = {"system": "system", "image": "image: by its share", "sharing": "sharing: two", "fragments": "fragments"}
    host = EngineHost(config.host, {script: ran[name] for script, name in told.items()})
    found = survey(config, host)
    assert host.asked["image"] == {"share": "snapmirror", "file": "snapmirror.img"}, "as the case was asked"
    assert found.unknown == {}
    assert all(value is not None for value in asdict(found).values())
    assert (found.image_size, found.image_sparse, found.fragments, found.smb1) == (5, True, 2, True)
    assert [one["client"] for one in found.open_by or ()] == ["192.0.2.7", "192.0.2.8"]
    said = [check.message for check in checks.judge(config, found)]
    assert any(one.startswith("others have the image open: WINHOST\\snapmirror on 192.0.2.7, ") for one in said)


def test_a_survey_where_little_is_known(ran: dict[str, Ran], config: Config) -> None:
    assert config.host is not None
    told = {
        "system": "system: no hibernation, wake timers unknown", "image": "image",
        "sharing": "sharing: nobody", "fragments": "fragments: refused",
    }  # fmt: skip
    found = survey(config, EngineHost(config.host, {script: ran[name] for script, name in told.items()}))
    assert found.open_by == [] and found.sessions == []
    assert set(found.unknown) == {"hibernate_seconds", "wake_timers", "fragments"}
    said = [check.message for check in checks.judge(config, found)]
    assert "nobody has the image open" in said


# -- the stand-in ----------------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """The form of an answer: names and types."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


_ONE = {"client": "192.0.2.8", "user": "WINHOST\\eve"}
_SPOKEN = {"client": "192.0.2.8", "dialect": "3.1.1"}
STAND_INS = {
    "system": Windows(),
    "system: no hibernation, wake timers unknown": Windows(
        unknown={"hibernate_seconds": "powercfg ended with 1", "wake_timers": "?"}
    ),
    "image": Windows(),
    "image: none": Windows(image=None),
    "sharing": Windows(open=_ONE, sessions=_SPOKEN),
    "sharing: nobody": Windows(open=None, sessions=None),
    "sharing: two": Windows(open=[_ONE] * 2, sessions=[_SPOKEN] * 2),
    "sharing: no rights": Windows(sessions=None, unknown={"open": "Access is denied."}),
    "fragments": Windows(),
    "fragments: refused": Windows(native={"fragments": (5, "Access is denied.")}),
    "task": Windows(),
    "task: refused": Windows(native={"task": (1, "ERROR")}),
    "sparse": Windows(),
    "uncompress": Windows(),
    "event-source": Windows(event_source=False),
    "event": Windows(),
    "event: no source": Windows(event_source=False),
    "encrypt-share": Windows(),
}


@pytest.mark.parametrize("name", STAND_INS)
def test_the_stand_in_answers_in_the_form_in_which_the_engine_prints(ran: dict[str, Ran], name: str) -> None:
    """tests.support.windows answers in the tests that go over the wire: it may invent values, but no form."""
    script = name.partition(":")[0]
    code, answer = STAND_INS[name].answer(script, {"task": "x"})
    assert (code, shape(answer)) == (ran[name].exit_code, shape(json.loads(ran[name].stdout)))
