"""Mends the host from here: a plan, made from the facts, and its steps, each one script."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from msgspec import Struct, field

from snapmirror.config import Config
from snapmirror.errors import HostError
from snapmirror.windows.asking import Host, configured
from snapmirror.windows.facts import Facts, survey

log = logging.getLogger("snapmirror.host")


class Step(Struct):
    """One thing to do on the host. `error` says why it could not be done."""

    script: str
    what: str
    parameters: dict[str, object] = field(default_factory=dict)
    done: bool = False
    error: str | None = None


def plan(config: Config, facts: Facts) -> list[Step]:
    """The steps for everything that is wrong and can be mended from here. Unknown facts need no step."""
    return list(_steps(config, facts))


def prepare(config: Config, *, dry_run: bool) -> list[Step]:
    """Query the host and carry out the steps, unless `dry_run`. Raises HostError."""
    host = Host(configured(config))
    steps = plan(config, survey(config, host))
    for step in () if dry_run else steps:
        try:
            host.ask(step.script, **step.parameters)
        except HostError as error:
            step.error = error.message
        else:
            step.done = True
            log.info("%s done", step.what)
    return steps


def _steps(config: Config, facts: Facts) -> Iterator[Step]:
    if configured(config).event_log and facts.event_source is False:
        yield Step("event-source", "make the source 'snapmirror' of the event log Application")
    if facts.folder_compressed:
        yield Step("uncompress", f"end the compression of new files in {facts.folder}", {"folder": facts.folder})
    if facts.image_exists and facts.image_sparse is False:
        yield Step("sparse", f"mark {facts.path} as sparse", {"path": facts.path})
    if config.share is not None and facts.share_encrypts is False and not facts.server_encrypts:
        share = config.share.unc.split("/")[3]
        yield Step("encrypt-share", f"serve the share {share} only encrypted", {"share": share})
