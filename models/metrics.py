"""The figures: what is measured, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, f1_score

from models.probabilities import heads_to_probabilities

Floats = npt.NDArray[np.floating[Any]]

BOOTSTRAP: Final = 1000
"""Resamples behind each 95 % interval."""


def validation_figures(logits: Floats, rows: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures by which a checkpoint is chosen, and their ``mean``.

    ``rows`` carries the label columns of ``models.train.to_dataset``. A figure whose rows are
    missing is left out.
    """
    p = heads_to_probabilities(np.asarray(logits, dtype=np.float64))
    false = np.asarray(rows["false"][:], dtype=float)
    hate = np.asarray(rows["malinformation"][:], dtype=float)
    technique, group = (np.asarray(rows[c][:]) for c in ("technique", "group"))
    tone = np.asarray(rows["tone"][:])
    figures: dict[str, float] = {}
    known = ~np.isnan(false)
    if len(set(false[known])) == 2:
        figures["false_auc"] = roc_auc(false[known], p.false[known])
        figures["false_recall_at_5"] = recall_at(false[known] == 1, p.false[known], 0.05)
    known = ~np.isnan(hate)
    if len(set(hate[known])) == 2:
        figures["malinformation_ap"] = average_precision(hate[known], p.malinformation[known])
    known = technique >= 0
    if known.any():
        figures["technique_f1"] = macro_f1(technique[known], p.technique[known].argmax(-1))
    known = (group >= 0) & (technique < 0)
    if known.any():
        guess = (p.disinformation_given_false[known] > 0.5).astype(int)
        figures["group_f1"] = macro_f1(group[known], guess)
    known = tone >= 0
    if known.any():
        figures["tone_f1"] = macro_f1(tone[known], p.tone[known].argmax(-1))
    figures["mean"] = float(np.mean(list(figures.values()))) if figures else 0.0
    return figures


def macro_f1(truth: npt.ArrayLike, guess: npt.ArrayLike) -> float:
    """Return the macro-F1 over the classes that occur in ``truth``."""
    labels = np.unique(np.asarray(truth))
    return float(f1_score(truth, guess, average="macro", labels=labels, zero_division=0))


def recall_at(truth: npt.ArrayLike, score: npt.ArrayLike, false_rate: float) -> float:
    """Return the share of the true rows found when ``false_rate`` of the others may be flagged.

    Raises:
        ValueError: there is only one class.
    """
    truth = np.asarray(truth, dtype=bool)
    score = np.asarray(score)
    if not both_classes(truth):
        raise ValueError("one class only")
    cut = np.quantile(score[~truth], 1 - false_rate)
    return float((score[truth] > cut).mean())


def weighted_calibration_error(
    truth: npt.ArrayLike, risk: npt.ArrayLike, weights: npt.ArrayLike, bins: int = 15
) -> float:
    """Return the expected calibration error with bins of equal weight (Nixon et al., 2019)."""
    truth, risk, weights = (np.asarray(c, dtype=float) for c in (truth, risk, weights))
    order = np.argsort(risk, kind="stable")
    place = np.cumsum(weights[order]) / weights.sum()
    bin_of = np.minimum((place * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = order[bin_of == b]
        if len(inside):
            w = weights[inside]
            error += abs(float((w * (truth[inside] - risk[inside])).sum()))
    return error / float(weights.sum())


def interval(
    figure: Callable[..., float], *columns: npt.ArrayLike, seed: int = 7, resamples: int = BOOTSTRAP
) -> tuple[float, float, float]:
    """Return ``(value, low, high)``: the figure and its 95 % bootstrap interval over rows.

    Resamples on which the figure is not defined (one class only) are left out.

    Raises:
        ValueError: the figure is not defined on the rows themselves.
    """
    arrays = [np.asarray(c) for c in columns]
    rng = np.random.default_rng(seed)
    n = len(arrays[0])
    value = figure(*arrays)
    values = []
    for _ in range(resamples):
        chosen = rng.integers(0, n, n)
        try:
            values.append(figure(*(a[chosen] for a in arrays)))
        except ValueError:
            continue
    low, high = np.quantile(values or [value], [0.025, 0.975])
    return value, float(low), float(high)


def both_classes(truth: npt.ArrayLike) -> bool:
    """Return whether a yes-or-no truth has both answers."""
    return len(np.unique(np.asarray(truth))) == 2


def roc_auc(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the area under the ROC curve: the share of pairs in the right order (Mann & Whitney).

    By ranks, ten times as fast as scikit-learn's, whose figure it is: a bootstrap asks often.

    Raises:
        ValueError: there is only one class.
    """
    if not both_classes(truth):
        raise ValueError("one class only")
    positive = np.asarray(truth, dtype=bool)
    ranks = rankdata(score)
    first = int(positive.sum())
    above = float(ranks[positive].sum()) - first * (first + 1) / 2
    return above / (first * (len(positive) - first))


def average_precision(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the average precision.

    Raises:
        ValueError: there is only one class.
    """
    if not both_classes(truth):
        raise ValueError("one class only")
    return float(average_precision_score(truth, score))
