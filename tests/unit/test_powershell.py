"""The PowerShell that is shipped: nothing that 5.1 lacks, and at one with the Python side.

It is parsed here; tests/unit/test_pester.py and tests/integration/test_powershell_module.py run it, by PowerShell 7.
What Windows PowerShell 5.1 lacks, and what Windows' cmdlets take, no engine of ours can show.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer.main
from msgspec.structs import fields

import snapmirror
from snapmirror.cli.app import app
from snapmirror.config import parse
from snapmirror.config.export import ExportConfig
from snapmirror.errors import ExitCode
from snapmirror.state.report import MirrorReport, RunReport
from snapmirror.views.status import MirrorFields, StatusFields
from tests.support import powershell
from tests.support.powershell import calls, data, functions, parsed, text, walk
from tests.support.powershell_commands import COMMON, WINDOWS
from tests.support.pwsh import pwsh
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
README = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
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


# Every command that is called, and every static method, as the engine's own parser sees them: a command that is no name
# is given as it stands there; a method has its type before it.
_USES = """
using namespace System.Management.Automation.Language
foreach ($path in $env:SNAPMIRROR_FILES -split "`n") {
    $ast = [Parser]::ParseFile($path, [ref]$null, [ref]$null)
    $found = foreach ($one in $ast.FindAll({ $true }, $true)) {
        if ($one -is [CommandAst]) {
            $first = $one.CommandElements[0]
            if ($one.GetCommandName()) {
                $one.GetCommandName()
            } elseif ($first -isnot [ScriptBlockExpressionAst]) {
                $first.Extent.Text
            }
        } elseif ($one -is [InvokeMemberExpressionAst] -and $one.Static) {
            "$($one.Expression.TypeName.FullName -replace '^System\\.')::$($one.Member.Extent.Text)"
        } elseif ($one -is [FileRedirectionAst]) {
            '>'
        }
    }
    @{ file = [System.IO.Path]::GetFileName($path); uses = @($found) } | ConvertTo-Json -Compress
}
"""
# What goes past the helpers, and why it may.
_ALLOWED = {
    "Invoke-SnapMirrorNight.ps1": {"eventcreate.exe"},  # it tells, too, that the module could not be imported
    "Show-SnapMirrorHistory.ps1": {"Start-Process"},  # Explorer, which goes on; its one argument has no quotes
    # Blocks of the module's own tables (a step, a check, a kind of name), no programs:
    "Get-SnapMirrorStatus.ps1": {"$look[$name][1]"},
    "Get-SnapMirrorNameFinding.ps1": {"$Kind.All"},
    "Invoke-SnapMirrorHostCheck.ps1": {"$one.Look"},
    "Invoke-SnapMirrorStep.ps1": {"$one.Given", "$one.Do"},
    "Test-SnapMirrorStep.ps1": {"$Step.Test"},
    "Uninstall-SnapMirror.ps1": {"$one.Undo"},
    "SnapMirror.psm1": {"$file.FullName", "(Join-Path $PSScriptRoot 'SnapMirror.Edition.ps1')"},  # its own files
}
_TEXT = {
    "get-content", "set-content", "add-content", "clear-content", "out-file", "tee-object", "export-csv", "import-csv",
    "export-clixml", "import-clixml", "select-string", "start-process", "invoke-expression", "cat", "gc", "type", "sc",
    "ac", "sls", "start", "saps", "iex", "convertfrom-json", "import-powershelldatafile", ">",
}  # fmt: skip
# (Bytes and names are alike in both editions.)
_TYPES = re.compile(
    r"^(IO\.File::(?!(Open|Replace|Move|Exists|Delete|(Read|Write)AllBytes)$)|IO\.Stream(Reader|Writer)::|Diagnostics\.Process::)"
)


def past_the_helpers(folder: Path) -> dict[str, set[str]]:
    """What each file of a module does that is the helpers' to do."""
    paths = sorted(path for kind in ("*.ps1", "*.psm1", "P*/*.ps1") for path in folder.glob(kind))
    done = pwsh(_USES, environment={"SNAPMIRROR_FILES": "\n".join(map(str, paths))})
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(answers) == len(paths), done.stderr.decode()
    own = {name.lower() for name in (*FUNCTIONS, *WINDOWS)} - _TEXT
    return {
        answer["file"]: found
        for answer in answers
        if answer["file"] != "SnapMirror.Edition.ps1"
        and (
            found := {
                use for use in answer["uses"] if (_TYPES.match(use) if "::" in use else use.lower() not in own)
            }
        )
    }  # fmt: skip


def test_what_differs_between_5_1_and_7_is_in_one_file() -> None:
    """Programs are started, JSON and texts are read and written by the helpers that treat both editions alike."""
    assert past_the_helpers(MODULE) == _ALLOWED
    for path in OURS:
        if path.suffix != ".psd1" and path.name != "SnapMirror.Edition.ps1" and path.is_relative_to(MODULE):
            assert "PSVersionTable" not in path.read_text(), f"{path.name} asks for the edition"


def test_each_way_past_the_helpers_is_seen(tmp_path: Path) -> None:
    ways = {
        "Get-Content -LiteralPath $path -Raw": "Get-Content",
        "$text = @(gc $path)": "gc",
        "Set-Content -Path x -Value 1": "Set-Content",
        "'x' | Out-File x": "Out-File",
        "'x' > x": ">",
        "[System.IO.File]::ReadAllText('x')": "IO.File::ReadAllText",
        "[IO.File]::AppendAllText('x', 'y')": "IO.File::AppendAllText",
        "[System.Diagnostics.Process]::Start('x')": "Diagnostics.Process::Start",
        "& eventcreate.exe /T x": "eventcreate.exe",
        "icacls.exe x": "icacls.exe",
        "& $program x": "$program",
        "& (Get-SnapMirrorProgram -Name ssh) x": "(Get-SnapMirrorProgram -Name ssh)",
        "if ($x) { $y | ForEach-Object { ssh $_ } }": "ssh",
    }
    for number, line in enumerate(ways):
        (tmp_path / f"{number:02}.ps1").write_text(f"{line}\n")
    (tmp_path / "good.ps1").write_text("Read-SnapMirrorText -Path x | ForEach-Object { & { $_ } }\n")
    assert past_the_helpers(tmp_path) == {f"{number:02}.ps1": {way} for number, way in enumerate(ways.values())}


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
