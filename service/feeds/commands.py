"""The commands of feeds: ``lilin worker`` and ``lilin feed``."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from service.feeds.worker import Worker

feed_app = typer.Typer(help="Feeds that the desk scores.", no_args_is_help=True)
ACTOR: Final = "command line"


@feed_app.callback()
def _feed() -> None:
    """Feeds that the desk scores."""


@feed_app.command("add")
def feed_add(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet, Telegram or WhatsApp.")],
    text_column: Annotated[
        str | None, typer.Option(help="The column with the text, if it is not found by itself.")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="csv, jsonl, json (Telegram too), parquet or whatsapp; else found."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Even if a feed with the same content was sent before.")
    ] = False,
) -> None:
    """Copy a file into the feeds' folder for the worker, and print the number of the feed.

    A file that was sent before is not taken again: its number is printed.
    """
    from pipeline.errors import FeedError
    from service.database import Database
    from service.feeds import service as feeds
    from service.feeds import upload as uploads
    from service.settings import load

    settings = load()
    if not file.is_file():
        raise FeedError(f"{file}: there is no such file; check the name and the folder")
    upload = uploads.copy(file, folder=settings.feeds_folder, limit=settings.max_feed_bytes)
    with closing(Database(settings.database_url)) as database:
        with database.read() as session:
            same = None if again else feeds.find_same(session, upload.digest)
        if same is not None:
            upload.discard()
            typer.echo(same.id)
            return
        feed = feeds.submit(
            database,
            settings.feeds_folder,
            upload,
            account=None,
            actor=ACTOR,
            text_column=text_column,
            format=format,
        )
    typer.echo(feed.id)


def worker(
    drain: Annotated[
        bool,
        typer.Option("--drain", help="Stop when nothing is left to do, instead of waiting for it."),
    ] = False,
    try_alerts: Annotated[
        bool,
        typer.Option(
            "--try-alerts",
            help="Receive on this machine what the watch-lists send meanwhile, and say it.",
        ),
    ] = False,
) -> None:
    """Score the feeds that wait, group and watch narratives, send alerts, until stopped.

    The chunk in hand is finished first. Several workers can run at once, on one machine or many
    with the feeds' folder in common.
    """
    from models.scorer import Scorer
    from service.alerts.trial import receiver
    from service.app import queue_rules
    from service.background import Background
    from service.clarifications.nearest import Clarifications
    from service.database import Database
    from service.feeds.worker import Worker
    from service.operations import logs
    from service.operations.memory import settle
    from service.operations.metrics import Measured, Metrics

    settings = logs.start()
    scorer = Scorer.load(settings.model, threads=settings.threads)
    metrics = Metrics()
    with closing(Database(settings.database_url)) as database, ExitStack() as stack:
        metrics.watch_database(database)
        made = Worker(
            database,
            Measured(scorer, metrics).score_and_embed,
            queue_rules(settings, scorer.thresholds),
            model=scorer.version,
            folder=settings.feeds_folder,
            max_expanded_bytes=settings.max_expanded_bytes,
            on_chunk=metrics.chunks.inc,
        )
        if settings.worker_metrics_port is not None:
            from prometheus_client import start_http_server

            start_http_server(settings.worker_metrics_port, "127.0.0.1", metrics.registry)
        stop_on_signals(made)
        known = Clarifications(scorer.space, model=scorer.version)
        if try_alerts:
            settings = stack.enter_context(receiver(database, settings, say=typer.echo))
        background = Background(settings, database, scorer.space, metrics, known)
        settle()
        if drain:
            while not made.stopping.is_set() and made.work_once():
                pass
            background.drain()
        else:
            background.start()
            made.run()
            background.close()


def stop_on_signals(made: Worker) -> None:
    """Stop a worker in good order on SIGTERM and Ctrl-C."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: made.stop())
