"""The lock files: every Python package that is installed anywhere has one version, and hashes of its files."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ROOT / "snapmirror" / "pages" / "install.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
ASKED = {
    "run": PROJECT["project"]["dependencies"],
    "test": [*PROJECT["project"]["dependencies"], *EXTRAS["test"]],
    "fuzz": [*PROJECT["project"]["dependencies"], *EXTRAS["fuzz"]],
    "build": PROJECT["build-system"]["requires"],
}


def locked(name: str) -> dict[str, tuple[Requirement, int]]:
    """What a lock file pins, and how many hashes each has."""
    text = (ROOT / "scripts" / f"requirements-{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, tuple[Requirement, int]] = {}
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), line
        parsed = Requirement(requirement)
        assert canonicalize_name(parsed.name) not in found, f"{parsed.name} stands there twice"
        found[canonicalize_name(parsed.name)] = parsed, len(hashes)
    return found


@pytest.mark.parametrize("name", ASKED)
def test_every_dependency_is_locked(name: str) -> None:
    found = locked(name)
    for package, (requirement, hashes) in found.items():
        pins = list(requirement.specifier)
        assert [pin.operator for pin in pins] == ["=="], f"{package} has no single version"
        assert hashes, f"{package} has no hash"
    for text in ASKED[name]:
        asked = Requirement(text)
        assert canonicalize_name(asked.name) in found, f"{asked.name} is not locked: run scripts/lock"
        [pin] = found[canonicalize_name(asked.name)][0].specifier
        assert Version(pin.version) in asked.specifier, f"{asked.name} {pin.version} is too old: run scripts/lock"


def test_the_locks_agree() -> None:
    runs = locked("run")
    for name in ("test", "fuzz"):
        others = locked(name)
        assert {package: others[package][0] for package in runs} == {package: runs[package][0] for package in runs}


def test_no_registry_is_named_and_nothing_is_installed_past_the_locks() -> None:
    files = [ROOT / "pyproject.toml", *(ROOT / "scripts").glob("requirements-*.txt"), ROOT / "scripts" / "setup.sh"]
    files += [ROOT / "vm" / "build", ROOT / "tests" / "e2e" / "containers" / "debian.py", INSTALL]
    for file in files:
        text = file.read_text()
        assert "index-url" not in text.replace("PIP_INDEX_URL", ""), file
        assert "pythonhosted" not in text, file
        if "://" in text and file.suffix == ".txt":
            pytest.fail(f"{file} names an address")
    installing = [ROOT / "scripts" / "setup.sh", ROOT / "vm" / "build", INSTALL]
    for file in installing:
        joined = file.read_text().replace("\\\n", " ")
        for line in joined.splitlines():
            if (
                re.search(r'(pip"?|\{pip\[@\]\}"?) .*(install |--requirement|--editable)', line)
                and "apt-get" not in line
            ):
                assert "--require-hashes" in line or "--no-index" in line, f"{file}: {line}"


def test_python_311_is_the_oldest_that_they_hold_for() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert Version("3.11") in SpecifierSet(PROJECT["project"]["requires-python"])
    assert "--python-version 3.11" in (ROOT / "scripts" / "lock").read_text()
    names = [f"requirements-{name}.txt" for name in sorted(ASKED)]
    assert sorted(path.name for path in (ROOT / "scripts").glob("requirements-*.txt")) == names
    assert all(one < other for one, other in pairwise(names))
