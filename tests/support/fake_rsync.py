"""Small rsyncs that stand before the real one on PATH, call it, and add one misfortune.

`phase` in the scripts is "list" for a dry run, "transfer" for the real thing and "other" for --version and the like,
and for what gives names in the slot their last version back (--ignore-times).
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from tests.support.runner import Scene

_HEAD = """#!/bin/sh
for place in {folder} {store}; do  # all but the staging tree is read-only for an rsync; this one writes elsewhere, too
    mount --options remount,bind,rw "$(findmnt --noheadings --output TARGET --target "$place")" 2>/dev/null
done
real={real}
phase=transfer
for word in "$@"; do
    case "$word" in
        --dry-run) phase=list ;;
        --version|--help) phase=other ;;
        --ignore-times) phase=other ;;
    esac
done
echo "$phase $*" >> {log}
"""


def real_rsync() -> str:
    path = shutil.which("rsync")
    assert path, "rsync is not installed"
    return path


def install(scene: Scene, body: str) -> Path:
    """An rsync with this shell code in place of a plain call; `$real`, `$phase` and `$code` are its words."""
    head = _HEAD.format(
        folder=shlex.quote(str(scene.folder)),
        store=shlex.quote(str(scene.store)),
        real=shlex.quote(real_rsync()),
        log=shlex.quote(str(scene.folder / "rsync.calls")),
    )
    return scene.fake_program("rsync", head + body + '\nexec "$real" "$@"\n')


def ends_with(scene: Scene, code: int, *, phase: str = "transfer") -> None:
    """The real rsync does all its work; then the exit code says otherwise."""
    install(scene, f'if [ "$phase" = {phase} ]; then "$real" "$@"; echo "rsync: said so" >&2; exit {code}; fi')


def stumbles(scene: Scene, times: int) -> None:
    """The first transfers do all their work, and then end as rsync 3.5.0 may where files vanish as it goes."""
    says = 'echo "Invalid packet at end of run (198) [sender]" >&2; exit 2'
    few = f'[ "$(grep --count ^transfer {shlex.quote(str(scene.folder / "rsync.calls"))})" -le {times} ]'
    install(scene, f'if [ "$phase" = transfer ] && {few}; then "$real" "$@"; {says}; fi')


def dies_of(scene: Scene, signal: str, *, phase: str = "transfer") -> None:
    """The real rsync does all its work; then a signal ends the program."""
    install(scene, f'if [ "$phase" = {phase} ]; then "$real" "$@"; kill -{signal} $$; sleep 5; fi')


def killed_in_mid_transfer(scene: Scene, calls: tuple[str, ...], number: int) -> None:
    """Whichever of rsync's processes first makes its `number`-th of these calls is killed (strace)."""
    names = "?" + ",?".join(calls)
    trace = f"--trace={names} --inject={names}:signal=SIGKILL:when={number}"
    install(
        scene,
        f'if [ "$phase" = transfer ]; then exec strace --follow-forks --quiet=all --output=/dev/null '
        f'{trace} "$real" "$@"; fi',
    )


def before_transfer(scene: Scene, commands: str) -> None:
    """The source changes between the listing and the transfer."""
    install(scene, f'if [ "$phase" = transfer ]; then\n{commands}\nfi')


def remove(scene: Scene) -> None:
    """The real rsync is the first on PATH again."""
    (scene.programs / "rsync").unlink(missing_ok=True)
    (scene.folder / "rsync.calls").unlink(missing_ok=True)


def calls(scene: Scene) -> list[str]:
    """The command lines so far, each with its phase in front."""
    log = scene.folder / "rsync.calls"
    return log.read_text(errors="replace").splitlines() if log.exists() else []
