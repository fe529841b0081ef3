"""`snapmirror list|pin|unpin`: lists the snapshots, and keeps some of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror import folder
from snapmirror.cli.output import note, out_json, table
from snapmirror.cli.shell import Json, MirrorName, shell_of
from snapmirror.model import count, size
from snapmirror.text import age, local_time, printable

if TYPE_CHECKING:
    from snapmirror.config import MirrorConfig
    from snapmirror.history.histories import Catalogues
    from snapmirror.snapshots.record import Snapshot
    from snapmirror.snapshots.retention.forecast import Stay

SNAPSHOT_HELP = "An id, the beginning of one, a slot number, or 'newest'."
Reference = Annotated[str, typer.Argument(metavar="SNAPSHOT", help=SNAPSHOT_HELP)]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("list")(list_)
    app.command()(pin)
    app.command()(unpin)


def list_(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="MIRROR", help="Only these mirrors.")] = None,
    mirror: MirrorName = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show why each snapshot is kept, and when it will expire.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the snapshots, newest first."""
    from snapmirror.history.histories import looked_up
    from snapmirror.state.damage import load

    now = datetime.now(UTC)
    config = shell_of(context).config
    with looked_up(config, [*(names or []), *([mirror] if mirror else [])]) as histories:
        tell_of_copies(histories)
        rows = [(one.name, item, history.tree(item)) for one, history in histories for item in history.snapshots()]
        newest = {name: snapshots[0] for name, snapshots in histories.snapshots().items() if snapshots}
        unlisted = histories.without_section()
        space = histories.space(now.timestamp())
        rounds = [(one, load(config, one.name, history)) for one, history in histories]
        stays = _stays(((one, history.snapshots()) for one, history in histories) if why else ())
    if json:
        from snapmirror.views import snapshots as view

        out_json([view.snapshot(name, one, tree, stays.get((name, one.id))) for name, one, tree in rows])
    elif not rows:
        note("there are no snapshots yet; 'snapmirror run' makes the first")
    elif why:
        headings = ["MIRROR", "SLOT", "SNAPSHOT", "WILL EXPIRE", "BECAUSE"]
        table(headings, (_why(name, one, stays[name, one.id]) for name, one, _ in rows), right=(1,))
    else:
        from snapmirror.state import render

        headings = ["MIRROR", "SLOT", "SNAPSHOT", "TAKEN", "FILES", "SIZE", "NEW", ""]
        table(headings, (_row(name, one) for name, one, _ in rows), right=(1, 4, 5, 6))
        note("; ".join(f"{name}: the last one is of {age(one.taken_at, now)}" for name, one in newest.items()))
        for one, state in rounds:
            if state is not None and state.until is not None and one.verify.read_all_within_days:
                note(f"{one.name}: {render.read_back(state.told(now))}")
            elif state is not None and state.damaged:
                note(f"{one.name}: {render.damaged_files(state.damaged_files)}")
        if space is not None:
            note(render.space_left(space, live=space.at == now.timestamp()))

    for name in unlisted:
        note(folder.of_no_mirror(name, config.store.path))
    if unlisted:
        note(f"  hint: {folder.OF_NO_MIRROR}")


def tell_of_copies(histories: Catalogues) -> None:
    """Explain that the answer does not come from the store itself, and why."""
    if histories.busy is not None and histories.at is not None:
        when = local_time(datetime.fromtimestamp(histories.at, UTC))
        note(f"{printable(histories.busy.message)}; until it ends, this is the state of {when}")


def pin(context: typer.Context, snapshot: Reference, mirror: MirrorName = None) -> None:
    """Keep a snapshot: it does not expire."""
    _set_pinned(context, snapshot, mirror, pinned=True)


def unpin(context: typer.Context, snapshot: Reference, mirror: MirrorName = None) -> None:
    """Let a pinned snapshot expire again."""
    _set_pinned(context, snapshot, mirror, pinned=False)


def _set_pinned(context: typer.Context, reference: str, mirror: str | None, *, pinned: bool) -> None:
    from snapmirror.history.histories import opened

    shell = shell_of(context)
    with opened(shell.config, [mirror] if mirror else [], locked=True, read_only=False) as histories:
        chosen = histories.find(reference)
        histories.histories[chosen.mirror.name].set_pinned(chosen.snapshot, pinned)
    kept = "is pinned: it is kept until 'snapmirror unpin'" if pinned else "is not pinned: it expires as usual"
    shell.say(f"{chosen.mirror.name}: {chosen.snapshot.id} {kept}")


def _stays(histories: Iterable[tuple[MirrorConfig, list[Snapshot]]]) -> dict[tuple[str, str], Stay]:
    """How long each snapshot stays, by mirror and id."""
    from snapmirror.snapshots.retention import Rules
    from snapmirror.snapshots.retention.forecast import stays
    from snapmirror.state.lateness import usual_gap

    found = {}
    for mirror, snapshots in histories:
        gap = usual_gap([one.taken_at for one in snapshots]) or timedelta(days=1)
        for one, stay in stays(snapshots, Rules.of(mirror.retention), gap).items():
            found[mirror.name, one] = stay
    return found


def _why(mirror: str, snapshot: Snapshot, stay: Stay) -> list[str]:
    from snapmirror.snapshots.retention.forecast import NIGHTS

    if stay.until is not None:
        until = f"{stay.until.astimezone():%Y-%m-%d}"
    else:
        until = "never: pinned" if snapshot.pinned else f"not within {NIGHTS} nights"
    return [mirror, str(snapshot.slot), snapshot.id, until, "; ".join(stay.reasons)]


def _row(mirror: str, snapshot: Snapshot) -> list[str]:
    marks = [word for word in ("pinned", "degraded", "full") if getattr(snapshot, word)]
    if snapshot.healed:
        marks.append(f"{snapshot.healed:,} healed")
    if snapshot.shared_bytes and snapshot.written_bytes is None:
        marks.append(f"of {size(snapshot.new_bytes)}, the rest shared")
    if snapshot.warnings:
        marks.append(count(len(snapshot.warnings), "warning"))
    return [
        mirror, str(snapshot.slot), snapshot.id, local_time(snapshot.taken_at),
        f"{snapshot.files:,}", size(snapshot.bytes),
        size(_added(snapshot)), ", ".join(marks),
    ]  # fmt: skip


def _added(snapshot: Snapshot) -> int:
    """What a snapshot has added to the store: its blocks, if the store counts them, else the sizes of its new files."""
    if snapshot.written_bytes is not None:
        return snapshot.written_bytes
    return snapshot.new_bytes - snapshot.shared_bytes
