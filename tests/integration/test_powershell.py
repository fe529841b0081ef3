"""The fields that the PowerShell module reads, in what snapmirror really prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from snapmirror.storage.copier import CopyReport
from tests.support.files import flip
from tests.support.powershell import data
from tests.support.runner import Scene

CONTRACT = data(Path(__file__).resolve().parents[2] / "scripts/SnapMirror/SnapMirror.Contract.psd1")


def check(kind: str, printed: dict[str, Any], inner: dict[str, str]) -> None:
    """Every field is there, and what becomes a date or a span can become one."""
    for name, field in CONTRACT["Type"][kind].items():
        assert field in printed, f"{kind}.{name} reads {field}, which is not printed"
        value = printed[field]
        if field in inner:
            assert value, f"nothing to look at in {field}"
            for one in value:
                check(inner[field], one, inner)
        elif field.endswith(("_at", "_since")):
            assert value is None or (isinstance(value, str) and value.endswith("Z"))
        elif field == "seconds" or field.endswith("_seconds"):
            assert value is None or isinstance(value, int | float)


def test_what_is_read_is_printed(scene: Scene) -> None:
    printed = {"run": scene.night().json}
    flip(scene.slots()[1] / "file")
    for command, words in {
        "verify": ["--heal"], "status": [], "list": [], "doctor": [], "mount": [], "ls": ["newest", "/"],
        "restore": ["newest", "file", "--to", str(scene.folder / "to")],
    }.items():  # fmt: skip
        printed[command] = scene.command(command, "--json", *words).json
    printed["copy-image"] = {"exit_code": 0, **asdict(CopyReport("x"))}  # needs an image: see test_copy_image
    assert set(printed) == set(CONTRACT["Command"])
    for command, entry in CONTRACT["Command"].items():
        shown = printed[command]
        assert isinstance(shown, list) == (command in ("list", "ls"))
        for one in shown if isinstance(shown, list) else [shown]:
            check(entry["Type"], one, entry["Inner"])


def test_json_is_ascii_for_a_reader_that_takes_only_that(scene: Scene) -> None:
    """PowerShell 5.1 reads what programs print in the code page of the console: the VM speaks ASCII."""
    scene.source.joinpath("Ärger").write_text("1")
    scene.environment["PYTHONIOENCODING"] = "ascii"
    done = scene.command("plan", "--json")
    assert done.stdout.isascii()
    assert "Ärger" in [change["path"] for change in json.loads(done.stdout)[0]["changes"]]
