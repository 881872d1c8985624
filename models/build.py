"""From a trained network to a release: calibration, export, the int8 gate, the folder."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from models import likeness
from models.calibrate import calibrate
from models.corpus import Corpus
from models.errors import TrainingError
from models.export import activation_peaks, export
from models.labels import HEADS, LABELS, TECHNIQUES, TONES
from models.metrics import validation_figures
from models.release import FILES, open_release, write_manifest
from models.reports import model_card
from models.scorer import Scorer
from models.train import load_network, predict, to_dataset

Floats = npt.NDArray[np.floating[Any]]

GATE: Final = 0.005
"""A smaller graph may lose this much of any validation figure against the network; where int8
loses more, weights8 is tried, and where that does too, the one that loses less ships and the loss
is said. fp32 (137 MB) is too large to ship."""
PEAK_TEXTS: Final = 600
"""Training texts on which the size of the activations is measured for int8."""
PEAK_DRAWS: Final = 4
"""How many draws of them are tried: the rounding of int8 falls a little differently each time."""
LIKENESS_TEXTS: Final = 16_000
LIKENESS_SEED: Final = 1
SHIPPABLE: Final = ("int8", "weights8")
NEUTRAL: Final = {
    "risk": {"slope": 1.0, "intercept": 0.0},
    "temperatures": dict.fromkeys(HEADS, 1.0),
    "budgets": {"budget_1": 0.9, "budget_5": 0.5},
}


def network_logits(best: Path) -> Callable[[Sequence[str]], Floats]:
    """Return a function from normalised texts to the trained network's fp32 logits."""
    network, tokenizer = load_network(best)
    return lambda texts: predict(network, tokenizer, texts)[0]


def build_release(
    best: Path,
    corpus: Corpus,
    out: Path,
    *,
    base: str,
    precisions: Sequence[str] = SHIPPABLE,
) -> dict[str, Any]:
    """Write a release from the checkpoint ``best`` to ``out`` and return what the gate measured.

    ``precisions`` are tried in order until one passes the gate (see ``GATE``). Calibration and
    thresholds come from that graph's logits on the validation part: they belong to the graph
    that ships.

    Raises:
        TrainingError: there is no validation part.
    """
    network, tokenizer = load_network(best)
    examples = corpus.part("valid")
    if not examples:
        raise TrainingError("calibration needs validation examples")
    texts = [e.text for e in examples]
    staging = out.with_name(out.name + ".staging")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(staging / "tokenizer.json"))
    labels = {"labels": LABELS, "techniques": TECHNIQUES, "tones": TONES, "heads": HEADS}
    (staging / "labels.json").write_bytes(orjson.dumps(labels, option=orjson.OPT_INDENT_2) + b"\n")
    (staging / "card.md").write_text(model_card(None, base=base), encoding="utf-8")

    rows = to_dataset(examples)
    exact = predict(network, tokenizer, texts)[0]
    figures: dict[str, Any] = {"network": validation_figures(exact, rows)}
    _write_thresholds(staging, NEUTRAL)
    likeness.Space.plain(network.encoder.config.hidden_size).save(
        staging
    )  # fitted on the graph that ships, at the end
    worst: dict[tuple[str, int], float] = {}
    attempts = [(p, d) for p in precisions for d in range(PEAK_DRAWS if p == "int8" else 1)]
    training = [e.text for e in corpus.part("train")]

    def written(precision: str, draw: int) -> Floats:
        """Write the graph and return its logits on the validation part."""
        drawn = random.Random(draw).sample(training, min(PEAK_TEXTS, len(training)))
        peaks = activation_peaks(network, tokenizer, drawn) if precision == "int8" else None
        export(network, staging / "model.onnx", precision, peaks)
        write_manifest(staging)
        return Scorer.load(staging).logits(texts)[0]

    for attempt in attempts:
        logits = written(*attempt)
        name = "{} (draw {})".format(*attempt)
        figures[name] = validation_figures(logits, rows)
        worst[attempt] = max(_losses(figures["network"], figures[name]).values())
        if worst[attempt] <= GATE:
            break
    else:
        attempt = min(worst, key=worst.__getitem__)
        logits = written(*attempt)
    figures["shipped"] = f"{attempt[0]} (largest loss {worst[attempt]:.4f}, gate {GATE})"
    _write_thresholds(staging, calibrate(logits, examples))
    write_manifest(staging)
    fit_likeness(staging, corpus)
    open_release(staging)
    _put_in_place(staging, out)
    return figures


def fit_likeness(folder: Path, corpus: Corpus) -> None:
    """Fit what narratives are compared by on training texts, into the release in ``folder``."""
    texts = [e.text for e in corpus.part("train")]
    drawn = random.Random(LIKENESS_SEED).sample(texts, min(LIKENESS_TEXTS, len(texts)))
    likeness.fit(Scorer.load(folder).logits(drawn)[1], drawn).save(folder)
    write_manifest(folder)


def _losses(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: before[name] - after[name] for name in before if name != "mean"}


def _write_thresholds(folder: Path, thresholds: dict[str, Any]) -> None:
    data = orjson.dumps(thresholds, option=orjson.OPT_INDENT_2)
    (folder / "thresholds.json").write_bytes(data + b"\n")


def _put_in_place(staging: Path, out: Path) -> None:
    """Move the files over the old release; other files of the folder stay."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, "manifest.json"):
        (staging / name).replace(out / name)
    staging.rmdir()
