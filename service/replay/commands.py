"""The commands of the replay: ``lilin replay`` and ``lilin earliness``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.model_commands import DataFolder


def replay(
    feeds: Annotated[
        list[Path], typer.Argument(metavar="FEED...", help="Feeds with dates, in any format.")
    ],
    plant: Annotated[
        Path | None,
        typer.Option(
            help="A feed of false posts to plant among the others (columns text; posted, debunked "
            "and platform where they are known)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the planting.")] = 1,
    budget: Annotated[
        int, typer.Option(min=1, max=1000, help="Alerts that can be read in a day.")
    ] = 20,
    text_column: Annotated[
        str | None, typer.Option(help="The column with the text, if it is not found by itself.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The folder of the model; default: the one that ships.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The report; default: stdout.")
    ] = None,
) -> None:
    """Play dated posts through the desk's own code, faster than they came; say what it alerted.

    Nothing is stored and nothing is sent: the replay has a database of its own, thrown away at the
    end. Scores are kept in build/replay, so that the next replay of a feed is quick. With --plant
    the report says how early the warnings of the planted posts came, beside simple rivals.
    """
    from service.replay import report
    from service.replay.material import read_dated
    from service.replay.run import play
    from service.replay.setup import load

    feed, without = [], 0
    for path in feeds:
        dated, undated = read_dated(path, text_column=text_column)
        feed += dated
        without += undated
    feed.sort(key=lambda d: d.at)
    scores, rules = load(model)
    if plant is None:
        played = play(feed, scores, rules, budgets=(budget,))
        text = report.plain(played, budget=budget, without_date=without)
    else:
        from service.replay.experiment import BUDGETS, run_trial
        from service.replay.whole import planted_among

        setting = planted_among(feed, plant, seed=seed)
        budgets = tuple(sorted({*BUDGETS, budget}))
        text = report.planted(run_trial(setting, scores, rules, budgets=budgets), budget=budget)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def earliness(
    folder: DataFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the report is written.")
    ] = Path("docs/early-warning.md"),
    seed: Annotated[
        list[int] | None, typer.Option(help="Of a planted replay; may be repeated.")
    ] = None,
    part: Annotated[
        str,
        typer.Option(help="test, or dev: texts and bursts that constants may be chosen on."),
    ] = "test",
    rest: Annotated[
        bool,
        typer.Option(
            help="Also a busier desk, the texts seen in training, the real months and real dates."
        ),
    ] = True,
    model: Annotated[
        Path | None, typer.Option(help="The folder of the model; default: the one that ships.")
    ] = None,
) -> None:
    """Measure how early the warning comes: false posts planted in real chatter, beside rivals.

    On a quiet desk and on one twice as busy. Needs the time lines of the labelled data
    (DIR/timelines). Writes the report and its figures.
    """
    from models.bench import machine
    from service.replay.document import write
    from service.replay.whole import SEEDS, evaluate

    if part not in ("dev", "test"):
        raise typer.BadParameter("dev or test", param_hint="--part")
    found = evaluate(
        folder,
        part="dev" if part == "dev" else "test",
        seeds=tuple(seed or SEEDS),
        model=model,
        rest=rest,
        say=lambda line: typer.echo(line, err=True),
    )
    write(found, output, machine())
    typer.echo(f"wrote {output}")
