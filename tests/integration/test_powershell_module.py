"""The commands of the PowerShell module, run by PowerShell against a real sshd, the VM's gate and a real store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pwsh import engine
from tests.support.runner import Scene
from tests.support.windows_host import WindowsHost, windows_host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="port 22 is root's")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[WindowsHost]:
    engine()
    scene = Scene(tmp_path / "scene")
    scene.source.joinpath("etc").mkdir()
    for name in ("hosts", "two words", "2026-11-21T03:14:14Z"):
        scene.source.joinpath("etc", name).write_text("first")
    with windows_host(tmp_path / "host", scene) as started:
        yield started
    scene.release()


def test_a_night_and_a_restore(host: WindowsHost) -> None:
    seen = host.json("""
        $run = Invoke-SnapMirrorRun
        $code = $LASTEXITCODE
        $status = Get-SnapMirrorStatus
        $items = @(Restore-SnapMirrorItem -Path '/etc/hosts', '/etc/two words' -Destination 'restored')
        @{ result = $run.Result; code = $code; findings = @($status.Findings); items = @($items.FullName)
           restored = $LASTEXITCODE; snapshots = @(Get-SnapMirrorSnapshot).Count }
    """)
    assert (seen["result"], seen["code"], seen["findings"]) == ("published", 0, [])
    assert seen["items"] == [str(host.folder / "restored" / name) for name in ("hosts", "two words")]
    assert (seen["restored"], seen["snapshots"]) == (0, 1)
    assert (host.folder / "restored/hosts").read_text() == "first"
