"""The ``lilin`` command: a thin layer over the library.

Nothing heavy is imported before it is needed, so that ``lilin --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from models.errors import LilinError
from service import desk_commands, model_commands
from service.alerts.channels import commands as channel_commands
from service.clarifications import commands as clarification_commands
from service.feeds import commands as feed_commands
from service.replay import commands as replay_commands

app = typer.Typer(
    name="lilin",
    help="Scores Indonesian posts for hoax, disinformation and malinformation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich help would cost a tenth of a second
    pretty_exceptions_enable=False,
)


@app.command()
def score(
    feed: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="CSV, JSONL, Parquet, Telegram result.json or WhatsApp chat .txt, also .gz and "
            ".zst; - for stdin.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Where to write; the name's ending says the format (.csv .tsv .jsonl .parquet, "
            "also .gz .zst); - for stdout. Default: <INPUT>.scored.<ending> beside INPUT.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="The column with the text, if it is not found by itself.")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="csv, jsonl, json (Telegram too), parquet or whatsapp; else found."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the output, and drop an unfinished run of it."),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Write CSV cells exactly as they came. Without it, ' is put before cells that a "
            "spreadsheet would run as a formula (= + - @ first; plain numbers are left alone).",
        ),
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(help="With output on stdout: where rows that cannot be scored go."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The folder of the model; default: the one that ships.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the model; default: all.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")
    ] = False,
) -> None:
    """Score a feed: the same rows come out with seven lilin_ columns.

    Rows that cannot be scored go to OUTPUT.rejects.csv with the reason. The exit code is 0 when
    posts were scored, 2 when the feed or the output is at fault, 130 after Ctrl-C.
    """
    from pipeline.chunks import PostScorer
    from pipeline.request import ScoreRequest
    from pipeline.scoring import score_feed

    def load() -> PostScorer:
        from models.scorer import Scorer

        return Scorer.load(model, threads=threads)

    request = ScoreRequest(
        input=None if feed == "-" else Path(feed),
        output=None if output in (None, "-") else Path(str(output)),
        to_stdout=output == "-",
        text_column=text_column,
        format=format,
        rejects=rejects,
        resume=resume,
        overwrite=overwrite,
        safe_cells=not raw,
        quiet=quiet,
    )
    # A stream that the caller closed (<&-) is None.
    stdin, stdout = getattr(sys.stdin, "buffer", None), getattr(sys.stdout, "buffer", None)
    score_feed(request, load, stderr=sys.stderr, stdin=stdin, stdout=stdout)


@app.command()
def sample(
    output: Annotated[Path, typer.Argument(help="Where to write it; a file there is replaced.")],
) -> None:
    """Write the sample feed with its dates moved so that its last post is of now."""
    from datetime import UTC, datetime

    from pipeline.sample import write

    write(output, now=datetime.now(UTC))


@app.command()
def version() -> None:
    """Print the version of Lilin."""
    from importlib.metadata import version as installed_version

    typer.echo(installed_version("lilin"))


app.add_typer(model_commands.corpus_app, name="corpus")
app.add_typer(model_commands.base_app, name="base")
app.command()(model_commands.train)
app.command()(model_commands.evaluate)
app.command()(model_commands.bench)
app.command()(desk_commands.serve)
app.command()(desk_commands.migrate)
app.command()(feed_commands.worker)
app.add_typer(feed_commands.feed_app, name="feed")
app.add_typer(clarification_commands.clarification_app, name="clarification")
app.command()(channel_commands.listen)
app.add_typer(channel_commands.channel_app, name="channel")
app.command()(desk_commands.purge)
app.command()(replay_commands.replay)
app.command()(replay_commands.earliness)
app.command("bench-desk")(desk_commands.bench_desk)
app.add_typer(desk_commands.user_app, name="user")
app.add_typer(desk_commands.key_app, name="key")
app.add_typer(desk_commands.audit_app, name="audit")
app.add_typer(desk_commands.config_app, name="config")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; what the user can put right is one line on stderr and exit code 2.

    Typer itself ends quietly, with 1, when the reader of our output has gone (``| head``).
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="lilin")
    except LilinError as error:
        sys.stderr.write(f"lilin: {error}\n")
        raise SystemExit(getattr(error, "exit_code", 2)) from None


if __name__ == "__main__":
    main()
