"""The PowerShell that is shipped: nothing that 5.1 lacks, and at one with the Python side.

Nothing is run here: tests/unit/test_pester.py and tests/integration/test_powershell_module.py do that, by PowerShell 7.
What Windows PowerShell 5.1 lacks, and what Windows' cmdlets take, no engine of ours can show.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main

import snapmirror
from snapmirror.cli.app import app
from snapmirror.cli.status_command import MirrorFields, StatusFields
from snapmirror.config import parse
from snapmirror.config.export import ExportConfig
from snapmirror.errors import ExitCode
from snapmirror.mirror.report import MirrorReport, RunReport
from tests.support import powershell
from tests.support.powershell import calls, data, functions, parsed, text, walk
from tests.support.powershell_commands import COMMON, WINDOWS
from tests.unit.test_appliance import program

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "scripts/SnapMirror"
SCRIPT = ROOT / "scripts/Invoke-SnapMirror.ps1"
_LISTED = [
    "git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "--",
    "*.ps1", "*.psm1", "*.psd1",
]  # fmt: skip
FILES = sorted(
    ROOT / line
    for line in subprocess.run(_LISTED, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    if (ROOT / line).exists()
)
OURS = [path for path in FILES if path.is_relative_to(ROOT / "scripts") and "tests" not in path.parts[-3:]]
MANIFEST = data(MODULE / "SnapMirror.psd1")
CONTRACT = data(MODULE / "SnapMirror.Contract.psd1")
FUNCTIONS = {function.name: function for path in OURS if path.suffix == ".ps1" for function in functions(path)}
EXPORTED = sorted(path.stem for path in (MODULE / "Public").glob("*.ps1"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEED = ("New-SnapMirrorSeed", "Get-SnapMirrorSeedSecret")
gate = program("gate")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert {MODULE / "SnapMirror.psm1", MODULE / "SnapMirror.psd1", SCRIPT} <= set(FILES)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_every_file_is_plain_text_that_5_1_reads(path: Path) -> None:
    """Without a mark at its beginning 5.1 takes a file for the machine's own code page: so, ASCII only."""
    content = path.read_bytes()
    assert content.isascii(), "letters beyond ASCII"
    assert b"\r" not in content and b"\t" not in content
    assert content.endswith(b"\n") and not re.search(rb" +\n", content)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_syntax_that_5_1_lacks(path: Path) -> None:
    """Ternary, ??, ?. and chains with && are none to the grammar; classes work, but differ between 5.1 and 7."""
    root = parsed(path)
    assert not list(walk(root, "class_statement", "enum_statement", "pipeline_chain_tail"))
    tokens = {text(node) for node in walk(root) if not node.children and node.type != "comment"}
    assert not tokens & {"??", "??=", "?.", "&&", "||", "-Parallel", "-AsHashtable", "-AsByteStream", "-NoEnumerate"}
    variables = {text(node).lower() for node in walk(root, "variable")}
    assert not variables & {"$iswindows", "$islinux", "$ismacos", "$psstyle", "$iscoreclr"}


# -- the module --------------------------------------------------------------------------------------------------


def test_the_module_has_the_version_of_the_program() -> None:
    assert MANIFEST["ModuleVersion"] == snapmirror.__version__
    assert MANIFEST["PowerShellVersion"] == "5.1"


@pytest.mark.parametrize("path", sorted(MODULE.glob("P*/*.ps1")), ids=lambda path: path.stem)
def test_a_function_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", EXPORTED)
def test_every_command_is_in_the_readme(name: str) -> None:
    page = README.split("\n## Set up on Windows, start to end\n")[1].split("\n## ")[0]
    assert f"`{name}`" in page or re.search(rf"^    .*{name}\b", page, flags=re.MULTILINE), f"{name} is not explained"


@pytest.mark.parametrize("path", OURS, ids=short)
def test_calls_fit_what_is_called(path: Path) -> None:
    """Functions of the module by their own parameters; Windows' cmdlets by those of Microsoft's reference for 5.1."""
    for call in calls(path) if path.suffix != ".psd1" else ():
        known = FUNCTIONS.get(call.name)
        if known is not None:
            allowed = set(known.parameters) | COMMON | ({"Confirm", "WhatIf"} if known.asks else set())
        else:
            assert call.name in WINDOWS, f"{call.where}: {call.name} is not known; look it up, and add it"
            allowed = WINDOWS[call.name] | COMMON
        wrong = {one.lstrip("-") for one in call.parameters} - allowed
        assert not wrong, f"{call.where}: {call.name} has no {wrong}"


@pytest.mark.parametrize("path", [path for path in OURS if path.suffix == ".ps1"], ids=short)
def test_a_variable_is_written_in_one_way(path: Path) -> None:
    """$found is $Found to PowerShell: a value of ours would be forced into the parameter's type."""
    spelt: dict[str, set[str]] = {}
    for node in walk(parsed(path), "variable"):
        spelt.setdefault(text(node).lower(), set()).add(text(node))
    assert {name: ways for name, ways in spelt.items() if len(ways) > 1} == {}


def test_views_show_properties_that_there_are() -> None:
    added = {
        "SnapMirror.Status": {"VMState", "NextRun", "VolumeFreeBytes"},
        "SnapMirror.Installation": {"VMName", "SharePath", "TaskName", "ServerKey", "Keep", "Steps", "Checks"},
        "SnapMirror.InstallationStep": {"Step", "State", "When", "What"},
        "SnapMirror.HostCheck": {"Name", "Verdict", "Message", "Remedy"},
    }
    for name, properties in added.items():
        sources = [path.read_text() for path in (MODULE / "Public").glob("*.ps1")]
        assert any(all(re.search(rf"\b{one}\b", source) for one in properties) for source in sources), name
    nested = {
        "Mirrors": "SnapMirror.MirrorStatus",
        "Checks": "SnapMirror.Check",
        "Findings": "SnapMirror.Finding",
    }
    views = ET.parse(MODULE / "SnapMirror.Format.ps1xml").getroot().findall(".//View")
    assert len(views) > 5
    for view in views:
        kind = view.findtext("ViewSelectedBy/TypeName") or ""
        known = set(CONTRACT["Type"].get(kind, ())) | added.get(kind, set())
        shown = {one.text for one in view.iter("PropertyName")}
        for block in view.iter("ScriptBlock"):
            shown |= {word.partition(".")[0] for word in re.findall(r"\$_\.(\w+)", block.text or "")}
            for inner, type_name in nested.items():
                if inner in shown:
                    known |= set(CONTRACT["Type"][type_name])
        assert shown <= known, f"{kind}: {shown - known}"


# -- at one with the Python side ----------------------------------------------------------------------------------


def test_exit_codes_are_snapmirrors() -> None:
    assert CONTRACT["ExitCode"] == {str(int(code)): code.name for code in ExitCode}
    assert CONTRACT["Success"] == [ExitCode.DONE.name, ExitCode.WARNINGS.name]
    for path in OURS:
        source = path.read_text()
        if path.name != "SnapMirror.Contract.psd1":
            assert not re.search(r"-eq (?:1[0-4]|20|130|143)\b", source), f"{path.name} knows an exit code by itself"


def fields_of(kind: str) -> set[str]:
    """What the Python side gives, where that is declared; tests/integration/test_powershell.py looks at all of it."""
    declared: dict[str, set[str]] = {
        "SnapMirror.Status": set(StatusFields.__annotations__),
        "SnapMirror.MirrorStatus": set(MirrorFields.__annotations__),
        "SnapMirror.Run": set(RunReport().as_json()),
        "SnapMirror.MirrorRun": {one.name for one in fields(MirrorReport)},
    }
    return declared[kind]


@pytest.mark.parametrize(
    "kind", ["SnapMirror.Status", "SnapMirror.MirrorStatus", "SnapMirror.Run", "SnapMirror.MirrorRun"]
)
def test_the_fields_that_are_read_are_there(kind: str) -> None:
    missing = set(CONTRACT["Type"][kind].values()) - fields_of(kind)
    assert not missing, f"{kind} reads {missing}"


def test_every_type_is_made_by_a_command_and_made_of_fields_that_are_read() -> None:
    made = {entry["Type"] for entry in CONTRACT["Command"].values()}
    for entry in CONTRACT["Command"].values():
        kinds = [entry["Type"], *entry["Inner"].values()]
        for field, inner in entry["Inner"].items():
            assert any(field in CONTRACT["Type"][kind].values() for kind in kinds)
            made.add(inner)
    assert made == set(CONTRACT["Type"])


def users(called: str) -> set[str]:
    """The files that call a function or cmdlet."""
    return {path.name for path in OURS if path.suffix == ".ps1" and any(call.name == called for call in calls(path))}


def test_nothing_else_reads_json() -> None:
    """Else the contract would not be all that is read."""
    assert users("ConvertFrom-SnapMirrorJson") == {
        "Invoke-SnapMirrorCommand.ps1", "Get-SnapMirrorSetting.ps1", "Get-SnapMirrorJournal.ps1",
    }  # fmt: skip


def test_what_differs_between_5_1_and_7_is_in_one_file() -> None:
    """Programs are started, JSON is read and texts are written by the helpers that treat both editions alike."""
    helpers = {"SnapMirror.Edition.ps1"}
    assert users("ConvertFrom-Json") == helpers
    for path in OURS:
        if path.suffix != ".psd1" and path.name != "SnapMirror.Edition.ps1" and path.is_relative_to(MODULE):
            started = re.findall(r"(?<!\S)& \$(?!look\[|one\.|Step\.|Kind\.)\w+", path.read_text())
            assert not started, f"{path.name} starts {started} by itself"
            assert "PSVersionTable" not in path.read_text(), f"{path.name} asks for the edition"


@pytest.mark.parametrize("path", sorted(MODULE.glob("P*/*.ps1")), ids=lambda path: path.stem)
def test_commands_and_options_exist(path: Path) -> None:
    """Each word with two hyphens is an option of a command that the same file names, and the VM lets it through."""
    words = {text(node).strip("'\"") for node in walk(parsed(path), "string_literal")}
    if not any(call.name == "Invoke-SnapMirrorCommand" for call in calls(path)):
        assert not any(word.startswith("--") for word in words)
        return
    asks_by_another_key = "-KeyFile" in {one for call in calls(path) for one in call.parameters}
    table = (gate.allowed.ADMIN if asks_by_another_key else gate.allowed.EVERYDAY).items()
    named = words & set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert named, "names no command"
    assert named <= {name for name, _ in table}, "the VM does not let it through"
    options = {option for name, command in table if name in named for option in command.options}
    assert {word for word in words if word.startswith("--") and word != "--"} <= options


def test_explorer_is_sent_to_the_share_that_the_vm_has() -> None:
    usual = ExportConfig.model_fields["share"].default
    assert f"$ShareName = '{usual}'" in FUNCTIONS["Show-SnapMirrorHistory"].parameters["ShareName"]


def test_the_line_that_lets_windows_in_names_the_gate() -> None:
    """And what the VM reads from it is what Windows has written."""
    where = "/usr/local/lib/snapmirror-vm/gate.py"
    line = f'restrict,command="/usr/bin/python3 -I {where}"'
    assert (ROOT / f"vm/rootfs{where}").is_file()
    for path in (MODULE / "Private/New-SnapMirrorSeed.ps1", SCRIPT):
        assert line in path.read_text()
    assert line in (gate.__doc__ or "")
    [constant] = re.findall(r"'snapmirror' \+ '([A-Za-z0-9+/=]+)'\) \| Out-Null", SCRIPT.read_text())
    assert gate.decoded(constant) == ["status"]
    assert json.loads(base64.b64decode(constant)) == ["status"]


# -- what the VM is configured with ------------------------------------------------------------------------------


def filled(name: str) -> str:
    """A template with what Install-SnapMirror puts in by default."""
    parameters = FUNCTIONS["Install-SnapMirror"].parameters
    default = {key: match[1] for key, it in parameters.items() if (match := re.search(r"= '([^']*)'$", it))}
    values = {
        "HostAddress": f"{default['Network']}.1", "Address": f"{default['Network']}.2",
        "MacAddress": "00:15:5d:0a:fd:47", "ShareName": default["ShareName"], "ImageSize": default["ImageSize"],
        "MirrorName": default["MirrorName"], "Source": "root@web1.example:/",
    }  # fmt: skip
    [table] = [
        data_of
        for node in walk(parsed(MODULE / "Public/Install-SnapMirror.ps1"), "assignment_expression")
        if text(node).startswith("$template") and (data_of := powershell.keys(node))
    ]
    assert set(table) == set(values), "the test fills in what the command does"
    content = (MODULE / "Templates" / name).read_text()
    for key, value in values.items():
        content = content.replace(f"@{key}@", value)
    assert not re.search(r"@[A-Z][A-Za-z]+@", content.replace("@Names@", ""))
    return content


def test_the_configuration_of_the_vm_is_right() -> None:
    config = parse(tomllib.loads(filled("snapmirror.toml")))
    assert config.share is not None and config.image is not None
    assert config.share.unc == "//10.253.71.1/snapmirror"
    assert config.image.encryption == "luks2"
    assert str(config.image.header_backup) in (MODULE / "Private/Initialize-SnapMirrorImage.ps1").read_text()
    assert config.image.file.name in (MODULE / "Private/Initialize-SnapMirrorImage.ps1").read_text()


def test_the_machine_leaves_the_night_to_windows(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(filled("appliance.toml"))
    settings = program("settings").read_settings(file)
    assert settings.night == program("settings").NO_NIGHT


def test_the_wire_has_its_address_and_a_place_in_the_seed() -> None:
    network = filled("10-windows.network")
    assert "Address=10.253.71.2/24\n" in network
    assert "MACAddress=00:15:5d:0a:fd:47\n" in network
    assert "10-windows.network" < "80-dhcp.network", "the first that matches wins"
    assert program("configure").target_of("network/10-windows.network") == "etc/systemd/network/10-windows.network"
    for name in ("snapmirror.toml", "smb.cred", "image.key", "id_ed25519", "ssh_host_ed25519_key", "authorized_keys"):
        assert program("configure").target_of(name) is not None
        assert any(f"'{name}'" in (MODULE / f"Private/{one}.ps1").read_text() for one in SEED)
