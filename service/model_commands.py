"""The commands that make and measure the model; they need the extra ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.errors import TrainingError

WORK = Path("build/model")
BASE = WORK / "base"
E5 = "multilingual-e5-small (MIT), rebuilt offline with a trimmed vocabulary"

corpus_app = typer.Typer(help="Read labelled data.", no_args_is_help=True)
base_app = typer.Typer(help="Make the pretrained base.", no_args_is_help=True)

DataFolder = Annotated[
    Path, typer.Argument(metavar="DIR", envvar="LILIN_DATA_DIR", help="Folder of labelled data.")
]


@corpus_app.command("report")
def corpus_report(
    folder: DataFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the report is saved.")
    ] = Path("build/corpus.md"),
) -> None:
    """Say what came out of the labelled data: rows, what was dropped and why, leaks."""
    from models.corpus import build_corpus, report

    text = report(build_corpus(folder))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    typer.echo(text)


@base_app.command("build")
def base_build(
    folder: DataFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the checkpoint is written.")
    ] = BASE,
) -> None:
    """Make the offline pretrained checkpoint and check it against the original."""
    _need_training()
    from models.base import build_base
    from models.corpus import build_corpus

    training = build_corpus(folder).part("train")
    for name, value in build_base(output, (e.text for e in training)).items():
        typer.echo(f"{name}: {value:g}")


def train(
    folder: DataFolder,
    base: Annotated[
        str | None,
        typer.Option(
            help="A Hugging Face name or path; default: the offline base, made if absent."
        ),
    ] = None,
    work: Annotated[Path, typer.Option(help="Where checkpoints are kept.")] = WORK,
    release: Annotated[
        Path, typer.Option(help="Where the release goes; models/release is the shipped one.")
    ] = WORK / "release",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the work folder.")
    ] = False,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the training part; default: 3.")
    ] = None,
) -> None:
    """Fine-tune, calibrate, export, and write a release.

    Compare it with the shipped one (lilin evaluate DIR --model RELEASE) before putting it into
    models/release.
    """
    _need_training()
    from models.base import build_base
    from models.build import build_release
    from models.corpus import build_corpus
    from models.train import Settings
    from models.train import train as fine_tune

    corpus = build_corpus(folder)
    if base is None:
        base = str(work / "base")
        if not (work / "base" / "config.json").is_file():
            build_base(work / "base", (e.text for e in corpus.part("train")))
    best = work / "best"
    if not (resume and (best / "network.pt").is_file()):
        best = fine_tune(
            corpus,
            base,
            work,
            settings=Settings() if epochs is None else Settings(epochs=epochs),
            data_folder=folder,
            resume=resume,
        )
    name = E5 if base == str(work / "base") else base
    figures = build_release(best, corpus, release, base=name)
    shipped = figures.pop("shipped")
    for stage, values in figures.items():
        typer.echo(stage + ": " + ", ".join(f"{k} {v:.4f}" for k, v in values.items()))
    typer.echo(f"written as {shipped} to {release}")


def evaluate(
    folder: DataFolder,
    work: Annotated[Path, typer.Option(help="Where training kept the fp32 network.")] = WORK,
    model: Annotated[
        Path | None, typer.Option(help="The release to measure; default: the one that ships.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the report is written.")
    ] = Path("docs/evaluation.md"),
    card: Annotated[
        bool, typer.Option("--card/--no-card", help="Renew the release's model card.")
    ] = True,
) -> None:
    """Measure a release on the test part, beside its rivals; writes the report and the card.

    The network before rounding and the base are measured too where training left them in WORK.
    """
    _need_training()
    from models.build import network_logits
    from models.corpus import build_corpus
    from models.evaluate import evaluate as measure
    from models.release import RELEASE, write_manifest
    from models.reports import evaluation_report, model_card, save_figures
    from models.scorer import Scorer
    from models.train import base_embeddings

    target = model or RELEASE
    base, best = work / "base", work / "best"
    result = measure(
        Scorer.load(target),
        build_corpus(folder),
        fp32=network_logits(best) if best.is_dir() else None,
        embed_base=base_embeddings(str(base)) if base.is_dir() else None,
        progress=lambda step: typer.echo(f"measuring: {step}", err=True),
    )
    output.write_text(evaluation_report(result), encoding="utf-8")
    save_figures(result, output.with_suffix(".json"))
    if card:
        (target / "card.md").write_text(model_card(result, base=E5), encoding="utf-8")
        write_manifest(target)
    typer.echo(f"wrote {output}")


def bench(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the report is written.")
    ] = Path("docs/benchmark.md"),
) -> None:
    """Measure speed, start-up and memory beside the usual pipeline; writes the report."""
    _need_training()
    from models.bench import benchmark_report, first_score, million_rows, speed

    text = benchmark_report(speed(), first_score(), million_rows())
    output.write_text(text, encoding="utf-8")
    typer.echo(text)


def _need_training() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise TrainingError(
            "this command needs what training needs: pip install 'lilin[train]', or use its make verb"
        )
