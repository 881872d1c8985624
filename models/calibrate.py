"""Calibration: from logits on validation data to ``risk`` and the thresholds of a review budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from models.corpus import Example
from models.errors import TrainingError
from models.labels import HEADS
from models.probabilities import heads_to_probabilities

Floats = npt.NDArray[np.floating[Any]]

MIX: Final = {
    "false": 0.04,
    "malinformation": 0.01,
    "government": 0.45,
    "chatter": 0.30,
    "news": 0.20,
}
"""A usual feed about the government: one post in twenty is worth keeping. An assumption, stated
in the card: no public feed says how much of it is false."""

BUDGETS: Final = {"budget_1": 0.01, "budget_5": 0.05}
_TEMPERATURES: Final = np.geomspace(0.4, 3.0, 80)


def stratum(example: Example) -> str | None:
    """Return the stratum of ``MIX`` that an example stands for, None for none."""
    if example.malinformation == 1:
        return "malinformation"
    if example.false == 1:
        return "false" if example.field == "text" else None
    if example.false == 0 and example.kind in MIX:
        return example.kind
    return None


def mix_weights(examples: Sequence[Example]) -> Floats:
    """Return a weight per example so that the strata stand as in ``MIX`` (sum 1; 0: not used).

    Raises:
        TrainingError: a stratum has no example.
    """
    strata = [stratum(e) for e in examples]
    counts = Counter(s for s in strata if s)
    missing = [name for name in MIX if not counts[name]]
    if missing:
        raise TrainingError(f"no validation example of the kind {', '.join(missing)}")
    return np.array([MIX[s] / counts[s] if s else 0.0 for s in strata])


def keepable(examples: Sequence[Example]) -> npt.NDArray[np.bool_]:
    """Return which examples a moderator would keep flagged: false, or malinformation."""
    return np.array([e.false == 1 or e.malinformation == 1 for e in examples])


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """Return the value above which ``share`` of the weight lies."""
    order = np.argsort(values)[::-1]
    above = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(above, share)), len(order) - 1)])


def calibrate(logits: Floats, examples: Sequence[Example]) -> dict[str, Any]:
    """Return the content of thresholds.json from validation logits (rows × ``LOGITS``).

    Temperatures by the lowest log loss (Guo et al., 2017), ``risk`` by Platt scaling over
    ``MIX``, budgets as the quantiles of ``risk`` over ``MIX``.

    Raises:
        TrainingError: validation lacks a stratum.
    """
    logits = logits.astype(np.float64)
    temperatures = {name: _temperature(name, logits, examples) for name in HEADS}
    p = heads_to_probabilities(logits, temperatures)
    either = np.clip(p.either, 1e-7, 1 - 1e-7)
    x = np.log(either) - np.log1p(-either)
    weights, truth = mix_weights(examples), keepable(examples)
    used = weights > 0
    platt = LogisticRegression(C=1e6).fit(
        x[used, None], truth[used], sample_weight=weights[used] * used.sum()
    )
    slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    risk = 1.0 / (1.0 + np.exp(-(slope * x + intercept)))
    return {
        "risk": {"slope": slope, "intercept": intercept},
        "temperatures": temperatures,
        "budgets": {
            name: weighted_quantile(risk[used], weights[used], share)
            for name, share in BUDGETS.items()
        },
        "mix": MIX,
    }


def _temperature(head: str, logits: Floats, examples: Sequence[Example]) -> float:
    """Return the temperature of one head; 1 where validation says nothing about it."""
    column = {"false": "false", "malinformation": "malinformation"}.get(head, head)
    values = [getattr(e, column) for e in examples]
    known = np.array([v is not None for v in values])
    truth = np.array([v for v in values if v is not None], dtype=int)
    if len(set(truth.tolist())) < 2:
        return 1.0
    best, lowest = 1.0, np.inf
    for t in _TEMPERATURES:
        p = getattr(heads_to_probabilities(logits[known], {head: float(t)}), head)
        labels = [0, 1] if p.ndim == 1 else list(range(p.shape[1]))
        loss = log_loss(truth, p, labels=labels)
        if loss < lowest:
            best, lowest = float(t), loss
    return best
