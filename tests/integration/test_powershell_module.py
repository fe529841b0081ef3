"""The commands of the PowerShell module, run by PowerShell against a real sshd, the VM's gate and a real store."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.pwsh import engine, pwsh
from tests.support.runner import REPOSITORY, Scene
from tests.support.waiting import until
from tests.support.windows_host import MANIFEST, WindowsHost, windows_host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="port 22 is root's")

SCRIPT = MANIFEST.parents[1] / "Invoke-SnapMirror.ps1"
DATED = "2026-11-21T03:14:14Z"
NAMES = ("hosts", "two words", DATED, 'say "x"', "it's", "$(id)", "star*", "\u00c4rger \u2019", "back\\slash", "[a]")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[WindowsHost]:
    """Two snapshots: in the first, every file holds "first"."""
    engine()
    scene = Scene(tmp_path / "scene")
    scene.source.joinpath("etc/inner").mkdir(parents=True)
    for text in ("first", "second"):
        for name in NAMES:
            scene.source.joinpath("etc", name).write_text(text)
        scene.source.joinpath("etc/inner/file").write_text(text)
        before = len(scene.slots())
        until(lambda: scene.night(expect=None).exit_code == 0, "a second has passed")
        assert len(scene.slots()) == before + 1
    with windows_host(tmp_path / "host", scene) as started:
        yield started
    scene.release()


def quoted(name: str) -> str:
    return "'" + name.replace("'", "''").replace("\u2019", "\u2019\u2019") + "'"


def contents(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def test_every_command_that_reads_and_a_night(host: WindowsHost) -> None:
    """In a host whose folder has a blank, by 7's old way with arguments too; the caller's stdin stays."""
    seen = host.json(
        """
        $status = Get-SnapMirrorStatus
        $PSNativeCommandArgumentPassing = 'Legacy'
        $run = Invoke-SnapMirrorRun -Mirror web -Full
        $code = $LASTEXITCODE
        $PSNativeCommandArgumentPassing = 'Standard'
        $refused = Invoke-SnapMirrorRun -Mirror '--full' -ErrorVariable failed -ErrorAction SilentlyContinue
        $line = '(Test-SnapMirrorSnapshot -Mirror w'
        @{ result = $run.Result; code = $code; findings = @($status.Findings)
           refused = @($failed | ForEach-Object { $_.FullyQualifiedErrorId }); nothing = $null -eq $refused
           snapshots = @(Get-SnapMirrorSnapshot | ForEach-Object { $_.Slot })
           checked = (Get-SnapMirrorSnapshot -Newest 1 | Test-SnapMirrorSnapshot -Full).Count
           repaired = @((Repair-SnapMirrorSnapshot).Mirror)
           completed = @((TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText)
           left = [Console]::In.ReadToEnd(); errors = $Error.Count }
    """,
        stdin=b"the caller's",
    )
    assert (seen["result"], seen["code"], seen["findings"]) == ("published", 0, [])
    assert seen["refused"] == ["SnapMirror.USAGE,Invoke-SnapMirrorRun"] and seen["nothing"]
    assert (seen["snapshots"], seen["checked"], seen["repaired"]) == ([1, 2, 3], 1, ["web"])
    assert (seen["completed"], seen["left"]) == (["web"], "the caller's")
    assert seen["errors"] == 1, "the one that was asked for"


def test_restores(host: WindowsHost) -> None:
    old = host.folder / "old"
    old.mkdir()
    (old / "unrelated").write_text("mine")
    hard = ", ".join(quoted(f"/etc/{name}") for name in NAMES if "\\" not in name)  # (as a separator, to PowerShell)
    seen = host.json(f"""
        $bad = @(Restore-SnapMirrorItem -Path '/etc/none', '/etc/hosts', '/nowhere/x', '/etc/inner' -Destination old -Id 2 -ErrorVariable failed -ErrorAction SilentlyContinue)
        $code = $LASTEXITCODE
        $null = New-PSDrive -Name 'Out' -Scope Global -PSProvider FileSystem -Root '{host.folder}'
        $all = @(Restore-SnapMirrorItem -Path '/' -Destination 'Out:/all' -Id newest)
        $twice = @(Restore-SnapMirrorItem -Path '/etc/hosts', '/etc/inner/../x', '/x/hosts' -Destination 'twice' -ErrorVariable wrong -ErrorAction SilentlyContinue)
        $names = @(Restore-SnapMirrorItem -Path {hard} -Destination '~/names').Name
        Restore-SnapMirrorItem -Path '/etc/inner' -Destination 'nothing' -WhatIf
        $asked = try {{ Restore-SnapMirrorItem -Path '/etc/hosts' -Destination old; 'no' }} catch {{ 'yes' }}
        $before = Get-Content 'old/hosts'
        $null = Restore-SnapMirrorItem -Path '/etc/hosts' -Destination old -Force
        @{{ bad = @($bad.Name); code = $code; failed = @($failed | ForEach-Object {{ "$($_.TargetObject) $($_.FullyQualifiedErrorId)" }} | Select-Object -Unique)
           all = @($all.FullName); asked = $asked; before = $before; after = (Get-Content 'old/hosts'); names = $names
           twice = @($twice.Name); wrong = @($wrong | ForEach-Object {{ $_.TargetObject }} | Select-Object -Unique) }}
    """)  # noqa: E501
    assert seen["bad"] == ["hosts", "inner"], "those that came, and nothing else that lies there"
    assert seen["code"] == 12
    assert [one.split("/")[-1].split()[0] for one in seen["failed"]] == ["none", "x"]
    assert all("SnapMirror.TRANSFER" in one for one in seen["failed"])
    assert seen["all"] == [str(host.folder / "all")]
    assert contents(host.folder / "all") == {
        **{f"etc/{name}": "second" for name in NAMES}, "etc/inner/file": "second",
    }  # fmt: skip
    assert (seen["twice"], seen["wrong"]) == (["hosts"], ["/etc/inner/../x", "/x/hosts"])
    assert seen["names"] == [name for name in NAMES if "\\" not in name]
    assert not (host.folder / "nothing").exists()
    assert (seen["asked"], seen["before"], seen["after"]) == ("yes", "first", "second")
    assert contents(old) == {"hosts": "second", "unrelated": "mine", "inner/file": "first"}


@pytest.mark.parametrize("when", ["mount", "sftp"])
def test_a_night_in_between(host: WindowsHost, when: str) -> None:
    """After the list, and while sftp reads: what arrives is of the snapshot that was asked for."""
    night = (
        f"[ -e {host.folder}/done ] || {{ touch {host.folder}/done; {host.folder}/vm/snapmirror run; }} >&2 2>/dev/null"
    )
    if when == "mount":
        program = host.folder / "vm/snapmirror"
        text = program.read_text().replace("exec ", f'case "$1" in mount) {night};; esac\nexec ')
    else:
        program = host.folder / "vm/unit"
        text = program.read_text().replace(
            'exec "$@"', f'case "$1" in *sftp-server) "$@"; {night};; *) exec "$@";; esac'
        )
    program.write_text(text)
    seen = host.json("""
        $items = @(Restore-SnapMirrorItem -Path '/etc/hosts', '/etc/inner' -Id 2 -Destination 'out')
        @{ names = @($items.Name); code = $LASTEXITCODE; slots = @(Get-SnapMirrorSnapshot).Count }
    """)
    assert seen == {"names": ["hosts", "inner"], "code": 0, "slots": 3}
    assert contents(host.folder / "out") == {"hosts": "first", "inner/file": "first"}


def test_a_vm_that_does_not_answer(host: WindowsHost) -> None:
    (host.folder / "Program Data/SnapMirror/known_hosts").write_text("")
    seen = host.json("""
        foreach ($command in { Get-SnapMirrorStatus }, { Restore-SnapMirrorItem -Path '/x' -Destination 'out' }) {
            try { & $command; 'went on' } catch { "$LASTEXITCODE $($_.FullyQualifiedErrorId)" }
        }
    """)
    assert [one.split(",")[0] for one in seen] == ["255 SnapMirror.UNREACHABLE"] * 2


def test_one_file_instead_of_the_module(host: WindowsHost) -> None:
    """Started as a task would; exit codes by the table of the page `exit-codes`; with blanks in its paths."""
    data = host.folder / "Program Data/SnapMirror"

    def started(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [engine(), "-NoProfile", "-File", str(SCRIPT), *words, "-Address", host.address]
        argv += ["-KeyFile", str(data / "id_ed25519"), "-KnownHosts", str(data / "known_hosts")]
        return subprocess.run(argv, input=stdin, capture_output=True, check=False)

    listed = started("list", "--mirror", "web", "--json")
    assert listed.returncode == 0, listed.stderr
    assert [one["slot"] for one in json.loads(listed.stdout)] == [1, 2]
    assert started("cat", "2", f"etc/{NAMES[3]}").stdout.decode().strip() == "first"
    host.scene.source.rename(host.scene.folder / "elsewhere")
    assert started().returncode == 12, "without words: run"
    assert started("forget", "1").returncode == 2
    (data / "known_hosts").write_text("")
    assert started("status").returncode == 255


def test_the_file_leaves_stdin_alone_and_gives_what_is_printed(host: WindowsHost) -> None:
    data = host.folder / "Program Data/SnapMirror"
    told = f"-Address {host.address} -KeyFile '{data}/id_ed25519' -KnownHosts '{data}/known_hosts'"
    seen = host.json(
        f"""
        $PSNativeCommandArgumentPassing = 'Legacy'
        $status = (& '{SCRIPT}' status '--json' {told}) -join '' | ConvertFrom-Json
        @{{ code = $LASTEXITCODE; findings = $status.findings; left = [Console]::In.ReadToEnd() }}
    """,
        stdin=b"the caller's",
    )
    assert seen == {"code": 0, "findings": [], "left": "the caller's"}


def taken_apart(line: str) -> list[str]:
    """As CommandLineToArgvW does it, by Microsoft's page "Parsing C++ command-line arguments"."""
    words: list[str] = []
    word, quoted, some, place = "", False, False, 0
    while place < len(line):
        count = len(line) - place - len(line[place:].lstrip("\\"))
        place += count
        if count and line[place : place + 1] == '"':
            word += "\\" * (count // 2)
            if count % 2:
                word += '"'
                place += 1
            continue
        word += "\\" * count
        some = some or count > 0
        if place == len(line):
            break
        letter = line[place]
        place += 1
        if letter == '"':
            quoted, some = not quoted, True
        elif letter in " \t" and not quoted:
            words += [word] if some else []
            word, some = "", False
        else:
            word, some = word + letter, True
    return [*words, word] if some else words


def test_the_command_line_of_the_task_brings_any_folder_as_it_is(tmp_path: Path) -> None:
    """All in one engine, which is asked line by line; then the line is run, by an engine that is told the names."""
    script = f"""
        $module = Import-Module '{MANIFEST}' -PassThru
        $env:SystemRoot = '/windows'
        while ($line = [Console]::In.ReadLine()) {{
            $name = ConvertFrom-Json -InputObject $line
            $action = & $module {{ Get-SnapMirrorTaskAction -ModulePath '/Program Data' -CopyPath $args[0] }} $name
            $told = $action.Argument
            [Console]::Out.WriteLine((ConvertTo-Json -InputObject $told -EscapeHandling EscapeNonAscii))
        }}
    """
    argv = [engine(), "-NoProfile", "-Command", script]
    names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from("\\\" '$`\u2019[]"))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        stdin, stdout = process.stdin, process.stdout

        def line_of(name: str) -> str:
            stdin.write(json.dumps(f"E:\\{name}").encode() + b"\n")
            stdin.flush()
            line = json.loads(stdout.readline())
            assert isinstance(line, str)
            return line

        @settings(max_examples=200, deadline=None)
        @given(name=names)
        @example(name="")
        @example(name="it\u2019s \"mine\" $(exit 0) 'x' [a] `b\\")
        def ask(name: str) -> None:
            script, *copy = taken_apart(line_of(name))[5:]
            assert script.startswith("/Program Data/")
            assert copy == ["-CopyPath", f"E:\\{name}"]

        ask()
        hard = "it\u2019s \"mine\" $(exit 0) 'x' [a] `b\\"
        told = taken_apart(line_of(hard))
        stdin.close()
    echo = tmp_path / "echo.ps1"
    echo.write_text("param([string] $CopyPath)\n$CopyPath\n")
    told[told.index("-File") + 1] = str(echo)
    assert subprocess.run([engine(), *told], capture_output=True, check=True).stdout.decode() == f"E:\\{hard}\n"


def test_the_manifest_and_every_file_are_right() -> None:
    """By the engine's own parser and its own test of manifests, in one go."""
    script = f"""
        $manifest = Test-ModuleManifest -Path '{MANIFEST}' -WarningVariable warned
        $folders = '{REPOSITORY}/scripts', '{REPOSITORY}/snapmirror'
        $files = Get-ChildItem -Path $folders -Recurse -Include '*.ps1', '*.psm1', '*.psd1'
        $wrong = foreach ($file in $files) {{
            $parser = [System.Management.Automation.Language.Parser]
            $mistakes = $null
            $null = $parser::ParseFile($file.FullName, [ref] $null, [ref] $mistakes)
            foreach ($one in $mistakes) {{ "$($file.Name): $one" }}
        }}
        ConvertTo-Json @{{ name = $manifest.Name; warned = @($warned); wrong = @($wrong) }}
    """
    done = pwsh(script)
    assert json.loads(done.stdout) == {"name": "SnapMirror", "warned": [], "wrong": []}, done.stderr
