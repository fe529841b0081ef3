"""`snapmirror verify`: checks that history is as it was when it was sealed, and heals damage."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli.history_commands import SNAPSHOT_HELP, names_of
from snapmirror.cli.output import note, out, out_json
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, MirrorName, shell_of
from snapmirror.model import count, size
from snapmirror.text import harmless, printable

if TYPE_CHECKING:
    from snapmirror.errors import ExitCode
    from snapmirror.history.histories import Histories
    from snapmirror.model import Progress
    from snapmirror.snapshots.history import History
    from snapmirror.snapshots.record import Snapshot
    from snapmirror.snapshots.verify import Depth, Finding, Report
    from snapmirror.snapshots.verify.rolling import Round

_SHOWN = 200
_SHOWN_SNAPSHOTS = 3


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(verify)


def verify(
    context: typer.Context,
    snapshots: Annotated[
        list[str] | None, typer.Argument(metavar="SNAPSHOT", help=f"{SNAPSHOT_HELP} Default: all.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every file and compare its checksum.")] = False,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="SHARE", help="Read a random share of the files, such as 1%.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Take the same sample as an earlier run that printed this seed.")
    ] = None,
    found: Annotated[
        bool, typer.Option("--found", help="Check only the damage that nights and earlier verifications have found.")
    ] = False,
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Read every file (or --sample, or --found) and heal the damaged ones."),
    ] = False,
    mirror: MirrorName = None,
    json: Json = False,
) -> None:
    """Check that snapshots are as they were when they were sealed; ends with 14 if damage is left.

    Without --heal nothing is changed.

    By default names, types, modes, owners, sizes, times, link targets and hard links are compared with the manifest;
    --full and --sample also compare files with the checksums that were taken at sealing. With the ZFS backend the
    pool is scrubbed as well, except for a sample: ZFS reads every block in use and compares it with its own checksum.

    --heal takes the good copy from another snapshot, or from the source if the file has the same size and time there,
    and verifies its checksum. The damaged file is replaced in every snapshot that shares it. If everything was
    healed the exit code is 3.
    """
    from snapmirror.errors import UsageError
    from snapmirror.history.histories import opened

    if found and (snapshots or full or sample is not None):
        raise UsageError(
            "--found checks certain files, in all snapshots", hint="use it alone, or with --heal and --mirror"
        )
    depth = _depth(full or (heal and sample is None and not found), sample, seed)
    shell = shell_of(context)
    config, scrubbing = shell.config, shell.config.zfs is not None and sample is None and not found
    with (
        opened(config, names_of(mirror), locked=True, read_only=not scrubbing and not heal) as histories,
        shown(quiet=shell.quiet) as progress,
    ):
        from snapmirror.history.verify import check, check_found
        from snapmirror.state import damage as known_damage
        from snapmirror.state import render

        if heal:
            from snapmirror.history import heal as healing

            for _, history in histories:
                healing.ready(history)
        damage = _scrub(histories, progress) if scrubbing else None
        again: dict[str, Round] = {}
        if found:
            reports = []
            for mirror_config, history in histories:
                state = known_damage.load(config, mirror_config.name, history)
                report, again[mirror_config.name] = check_found(mirror_config, history, state, progress)
                reports.append(report)
        else:
            reports = [
                check(histories.mirrors[name], history, chosen, depth, progress)
                for name, (history, chosen) in _chosen(histories, snapshots or []).items()
            ]
        for report in reports:
            mirror_config, history = histories.mirrors[report.mirror], histories.histories[report.mirror]
            if heal:
                healing.heal(mirror_config, history, report, progress)
            known = known_damage.learn(
                config, history, report, progress, full=found or depth.share == 1,
                looked_again=None if heal else again.get(report.mirror), writable=scrubbing or heal,
            )  # fmt: skip
            if known.damaged and not report.findings:
                number = render.damaged_files(known.damaged_files)
                note(f"{report.mirror}: {number} from before; 'snapmirror verify --found' checks that")
        if damage is not None:
            known_damage.learn_of_pool(config, damage)
    code = _exit_code(reports, damage or ())
    if json:
        from snapmirror.views import verify as view

        out_json(view.verify(reports, depth, code, damage))
    else:
        for sentence in damage or ():
            out(f"scrub: {harmless(sentence)}")
        for report in reports:
            _show(report, several=len(reports) > 1)
        _conclude(reports, depth, damage, found=found)
    if code:
        raise typer.Exit(int(code))


def _scrub(histories: Histories, progress: Progress) -> tuple[str, ...] | None:
    progress.begin("scrubbing the pool")
    try:
        return histories.store.scrub()
    finally:
        progress.end()


def _depth(full: bool, sample: str | None, seed: int | None) -> Depth:
    from snapmirror.errors import UsageError
    from snapmirror.snapshots.verify import Depth

    if full and sample is not None:
        raise UsageError("--full and --sample exclude each other", hint="--full reads everything")
    if seed is not None and sample is None:
        raise UsageError("--seed needs --sample", hint="for example: --sample 1% --seed 7")
    if sample is None:
        return Depth(1.0 if full else 0.0)
    try:
        share = float(sample.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not sample.endswith("%") or not 0 < share <= 1:
        raise UsageError(f"{sample!a} is not a share", hint="write for example --sample 1%")
    return Depth(share, secrets.randbelow(1_000_000) if seed is None else seed)


def _chosen(histories: Histories, words: list[str]) -> dict[str, tuple[History, list[Snapshot]]]:
    """The snapshots to verify, by mirror; all if none is named."""
    if not words:
        return {config.name: (history, history.snapshots()) for config, history in histories}
    chosen: dict[str, tuple[History, list[Snapshot]]] = {}
    for word in words:
        found = histories.find(word)
        _, snapshots = chosen.setdefault(found.mirror.name, (histories.histories[found.mirror.name], []))
        if found.snapshot not in snapshots:
            snapshots.append(found.snapshot)
    return chosen


def _exit_code(reports: list[Report], damage: Sequence[str]) -> ExitCode:
    from snapmirror.errors import ExitCode

    if damage or any(report.left_out for report in reports):
        return ExitCode.DAMAGE
    if any(finding.healed is None for report in reports for finding in report.findings):
        return ExitCode.DAMAGE
    warned = any(report.unchecked or report.findings for report in reports)
    return ExitCode.WARNINGS if warned else ExitCode.DONE


def _show(report: Report, *, several: bool) -> None:
    prefix = f"{report.mirror}: " if several else ""
    for finding in report.findings[:_SHOWN]:
        out(prefix + _sentence(finding))
    hidden = len(report.findings[_SHOWN:]) + report.left_out
    if hidden:
        out(f"{prefix}… and {count(hidden, 'finding')} more; --json lists up to 10,000")
    for sentence in report.unchecked:
        note(f"{report.mirror}: warning: {sentence}")


def _sentence(finding: Finding) -> str:
    name = "" if finding.path is None else f"{printable(finding.path)}: "
    below = f" (with {count(finding.below, 'name')} below)" if finding.below else ""
    shown_ids = ", ".join(finding.snapshots[:_SHOWN_SNAPSHOTS])
    more = len(finding.snapshots) - _SHOWN_SNAPSHOTS
    return (
        f"{finding.kind}: {name}{harmless(finding.detail)}{below}; in {shown_ids}"
        + (f" and {more} more" if more > 0 else "")
        + _answer(finding)
    )


def _answer(finding: Finding) -> str:
    if finding.healed is not None:
        return f"; healed, from {harmless(finding.healed)}"
    return "" if finding.not_healed is None else f"; NOT healed: {harmless(finding.not_healed)}"


def _conclude(reports: list[Report], depth: Depth, damage: Sequence[str] | None, *, found: bool) -> None:
    findings = sum(len(report.findings) + report.left_out for report in reports)
    snapshots, names = sum(len(report.snapshots) for report in reports), sum(report.names for report in reports)
    read = sum(report.files_read for report in reports)
    contents = f"{count(read, 'file')} read back ({size(sum(report.bytes_read for report in reports))})"
    what = "known damage" if found else f"{count(snapshots, 'snapshot')}, {count(names, 'name')}"
    if found or depth.share:
        what += f", {contents}"
    if 0 < depth.share < 1:
        what += f", a sample of {depth.share:.3%} with seed {depth.seed}"
    if damage is not None:
        what += f", scrubbed with {count(len(damage), 'finding')}"
    hit = len({(report.mirror, one) for report in reports for finding in report.findings for one in finding.snapshots})
    verdict = f"{count(findings, 'finding')} in {count(hit, 'snapshot')}" if findings else "no damage"
    if tried := [one for report in reports for one in report.findings if one.healed or one.not_healed]:
        healed = sum(one.healed is not None for one in tried)
        verdict += ", all healed" if healed == findings else f", {healed:,} healed, {findings - healed:,} NOT healed"
    out(f"{what}: {'the pool is damaged' if damage and not findings else verdict}")
