"""The scripts for Windows: short enough, careful, and printing just what is read here.

Nothing is run here: tests/unit/test_host_scripts_run.py does that, by PowerShell 7 on doubles.
"""

from __future__ import annotations

import ast
import base64
import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from snapmirror.tools import wsman
from snapmirror.windows.facts import Facts
from tests.support.windows import Windows
from tests.support.winrm import SCRIPTS

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted(SCRIPTS.glob("*.ps1"))
HOST = ROOT / "snapmirror" / "windows"


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_script_fits_into_a_command_of_cmd_exe(path: Path) -> None:
    command = wsman.encoded(path.read_text(encoding="utf-8"))
    assert len(command) <= 8191
    assert base64.b64decode(command.rpartition(" ")[2]).decode("utf-16-le") == path.read_text(encoding="utf-8")


def test_a_script_that_does_not_fit_is_refused_here_and_not_cut_there() -> None:
    room = (wsman.LONGEST_COMMAND - len(wsman.COMMAND)) // 4 * 3 // 2
    assert len(wsman.encoded("#" * room)) <= wsman.LONGEST_COMMAND
    with pytest.raises(wsman.Failure, match="too long"):
        wsman.encoded("#" * (room + 2))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_script_stops_at_errors_prints_json_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.isascii(), "the code page of a host is its own"
    assert text.startswith("# "), "what it does, for the administrator who finds it in a log"
    assert "\n$ErrorActionPreference = 'Stop'\n$ProgressPreference = 'SilentlyContinue'\n" in text
    assert "ConvertTo-Json -Compress" in text
    for native in re.findall(r"& (\w+\.exe)", text):
        assert "$LASTEXITCODE" in text.partition(native)[2], f"the exit code of {native} is lost"
    for forbidden in ("&&", "||", "??", "?.", " ? ", "Invoke-Expression", "iex ", "2>&1"):
        assert forbidden not in text, f"{forbidden} is not for Windows PowerShell 5.1, or not for us"
    documented = set(re.findall(r"(\w+):", text.partition("$Error")[0]))
    assert set(re.findall(r"\$p\.(\w+)", text)) <= documented, "a parameter that the head does not tell of"


def test_each_script_is_used_and_each_that_is_used_is_there() -> None:
    used = set()
    for path in HOST.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    assert {path.stem for path in ALL} <= used
    assert {"system", "image", "sharing", "fragments", "sparse"} <= {path.stem for path in ALL}


def test_what_the_scripts_print_is_what_is_read_and_what_the_double_prints() -> None:
    printed = {path.stem: set(re.findall(r"Get-Fact '(\w+)'", path.read_text())) for path in ALL}
    read = set(re.findall(r'_(?:number|truth|text|table|tables)\(\w+, "(\w+)"\)', (HOST / "facts.py").read_text()))
    inner = {
        key for path in ALL for key in re.findall(r"(\w+) = ", "".join(re.findall(r"@\{(.*?)\}", path.read_text())))
    }
    facts = set().union(*printed.values())
    assert facts <= read, f"printed and not read: {facts - read}"
    assert read <= facts | inner | {"facts", "unknown"}, f"read and printed by no script: {read - facts - inner}"
    for script in ("system", "image", "sharing"):
        assert set(Windows().answer(script, {})[1]["facts"]) == printed[script]
    assert set(Windows().answer("fragments", {})[1]) == {"fragments"}


def test_they_are_part_of_the_package() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert f'"{SCRIPTS.relative_to(ROOT / "snapmirror")}/*.ps1"' in declared


def test_every_fact_may_be_unknown() -> None:
    assert all(field.default is None for field in fields(Facts) if field.name != "unknown")
