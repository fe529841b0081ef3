"""The PowerShell module's own tests (scripts/SnapMirror/tests): each test, and each of its cases, as one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pwsh import TESTS, PesterTest, engine, pester, pester_tests, written_tests

FOUND = pester_tests()


@pytest.mark.parametrize("test", FOUND, ids=str)
def test_pester(test: PesterTest) -> None:
    engine()
    outcomes = pester(test.file).get(test.path, [])
    assert test.case < len(outcomes), "Pester has not run it"
    result, said = outcomes[test.case]
    assert result == "Passed", f"{result}: {said}"


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.Tests.ps1")), ids=lambda file: file.name)
def test_every_test_that_pester_runs_is_counted(file: Path) -> None:
    engine()
    counted = [one.path for one in FOUND if one.file == file]
    assert sorted(path for path, cases in pester(file).items() for _ in cases) == sorted(counted)
    assert {path for one, path in written_tests() if one == file} == set(counted)
