"""The commands of clarifications: ``lilin clarification``."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from pipeline.post import Reject

clarification_app = typer.Typer(help="What is known about claims.", no_args_is_help=True)
ACTOR: Final = "command line"
_AT_ONCE: Final = 200
"""Clarifications of one transaction."""


@clarification_app.callback()
def _clarification() -> None:
    """What is known about claims."""


@clarification_app.command("add")
def clarification_add(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSONL or JSON with title, url, claim, text, publisher, published_at, "
            "rating; or ClaimReview as JSON-LD."
        ),
    ],
    rejects: Annotated[
        Path | None,
        typer.Option(help="Where rows that will not do go. Default: FILE.rejects.csv."),
    ] = None,
) -> None:
    """Add clarifications, and change those that are known by URL and say something else now.

    It can be run again at any time: what is known already stays as it is. Rows that will not do
    are written to the rejects with line, field and reason.
    """
    from datetime import UTC, datetime

    from models.scorer import Scorer
    from pipeline.errors import NothingScored
    from pipeline.post import Reject
    from pipeline.workplace import rejects_path
    from service.clarifications import service
    from service.clarifications.reading import Given, read
    from service.database import Database
    from service.settings import load

    settings = load()
    now = datetime.now(UTC)
    counts: Counter[str] = Counter()
    refused: list[Reject] = []
    waiting: list[Given] = []
    scorer: Scorer | None = None

    with closing(Database(settings.database_url)) as database:

        def keep() -> None:
            nonlocal scorer
            scorer = scorer or Scorer.load(settings.model, threads=settings.threads)
            kept = service.keep(
                database,
                waiting,
                scorer.score_and_embed,
                model=scorer.version,
                account=None,
                actor=ACTOR,
                now=now,
            )
            counts.update(one.outcome.value for one in kept)
            waiting.clear()

        for found in read(file, now=now):
            if isinstance(found, Reject):
                refused.append(found)
                continue
            waiting.append(found)
            if len(waiting) >= _AT_ONCE:
                keep()
        if waiting:
            keep()
    where = rejects or rejects_path(file)
    if refused:
        _write(where, refused)
    said = ", ".join(f"{counts[name]} {name}" for name in ("added", "changed", "unchanged"))
    typer.echo(said + (f", {len(refused)} rejected: {where}" if refused else ""))
    if refused and not counts:
        raise NothingScored(f"{file}: not one row is a clarification; {where} says why")


def _write(path: Path, refused: list[Reject]) -> None:
    from pipeline.errors import OutputError
    from pipeline.writers.encoders import RejectsEncoder

    encoder = RejectsEncoder()
    try:
        path.write_bytes(encoder.header() + encoder.encode(refused))
    except OSError as error:
        raise OutputError(f"{path}: the rejects cannot be written ({error.strerror})") from error
