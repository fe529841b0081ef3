"""The PowerShell module's own tests (scripts/SnapMirror/tests), each Pester test as one of pytest's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pwsh import TESTS, PesterTest, engine, pester, pester_tests

FOUND = pester_tests()


@pytest.mark.parametrize("test", FOUND, ids=str)
def test_pester(test: PesterTest) -> None:
    engine()
    outcomes = pester(test.file).get(test.path)
    assert outcomes, "Pester has not run it"
    for result, said in outcomes:
        assert result == "Passed", f"{result}: {said}"


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.Tests.ps1")), ids=lambda file: file.name)
def test_every_test_that_pester_runs_is_counted(file: Path) -> None:
    engine()
    assert sorted(pester(file)) == sorted({one.path for one in FOUND if one.file == file})
