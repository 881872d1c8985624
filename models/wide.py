"""The wide part of the network: a linear model over runs of tokens, beside the encoder.

An encoder of this size forgets what a word count knows: names of scams, turns of phrase, slurs.
So the logits of each head are the encoder's plus those of a logistic regression over the hashed
1-, 2- and 3-grams of the tokens (wide and deep, Cheng et al., 2016), weighed on validation data.
It is fitted after the encoder is trained, and lives in the same graph: one pass, the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from models.corpus import Example
from models.labels import HEADS, HOAX_TECHNIQUES, LOGITS, TECHNIQUES, head_slices

Floats = npt.NDArray[np.floating[Any]]

BUCKETS: Final = 2**17
FACTORS: Final = ((7919,), (1_000_003, 7919), (1_000_003, 7919, 104_729))
"""Primes by which the tokens of a run are multiplied, per length of the run."""
CONTEXT: Final = 254
"""Tokens of a text that are read when the wide part is fitted."""
_PENALTY: Final = 0.02
"""Pull of the fusion's biases towards zero: the rarest technique has a dozen validation rows."""


def hashes(ids: Tensor, length: int) -> Tensor:
    """Return the bucket of each run of ``length`` tokens: batch × (tokens - length + 1)."""
    count = ids.shape[1] - length + 1
    total = torch.full_like(ids[:, :count], length)
    for i, factor in enumerate(FACTORS[length - 1]):
        total = total + ids[:, i : i + count] * factor
    return total.remainder(BUCKETS)


class Wide(nn.Module):
    """``input_ids``, ``attention_mask`` in; what is added to the logits out (batch × ``LOGITS``).

    ``table`` holds, per bucket, its weight in each logit times its inverse document frequency,
    ``square`` that frequency squared: a text's row is scaled to length 1, as in TF-IDF. Untrained,
    it adds nothing and leaves the encoder's logits as they are.
    """

    table: Tensor
    square: Tensor
    bias: Tensor
    deep: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(BUCKETS, LOGITS))
        self.register_buffer("square", torch.ones(BUCKETS))
        self.register_buffer("bias", torch.zeros(LOGITS))
        self.register_buffer("deep", torch.ones(LOGITS))

    def forward(self, logits: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's ``logits`` weighed, plus the wide part's."""
        total = torch.zeros_like(logits, dtype=self.table.dtype)
        length = torch.zeros_like(total[:, :1])
        for n in range(1, len(FACTORS) + 1):
            if input_ids.shape[1] < n:
                break
            at = hashes(input_ids, n)
            there = attention_mask[:, n - 1 :].to(self.table.dtype)
            total = total + (self.table[at] * there.unsqueeze(-1)).sum(dim=1)
            length = length + (self.square[at] * there).sum(dim=1, keepdim=True)
        return logits.float() * self.deep + total / length.sqrt() + self.bias


def features(tokenizer: Any, texts: Sequence[str]) -> sparse.csr_matrix:
    """Return the counts of hashed runs, texts × ``BUCKETS``."""
    rows: list[npt.NDArray[np.int64]] = []
    columns: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(texts), 4096):
        chunk = list(texts[start : start + 4096])
        for i, ids in enumerate(tokenizer(chunk, truncation=True, max_length=CONTEXT)["input_ids"]):
            row = torch.tensor([ids])
            found = torch.cat([hashes(row, n)[0] for n in (1, 2, 3) if len(ids) >= n])
            columns.append(found.numpy())
            rows.append(np.full(len(found), start + i))
    at = (np.concatenate(rows), np.concatenate(columns))
    ones = np.ones(len(at[0]), np.float32)
    return sparse.csr_matrix((ones, at), shape=(len(texts), BUCKETS))


Label = Callable[[Example], float | int | None]
_LABELS: Final[Mapping[str, Label]] = {
    "false": lambda e: e.false,
    "malinformation": lambda e: e.malinformation,
    "technique": lambda e: e.technique,
    "group": lambda e: e.group if e.technique is None else None,
    "tone": lambda e: e.tone,
}
_DISINFORMATION: Final = np.array([t not in HOAX_TECHNIQUES for t in TECHNIQUES], np.float64)


def fit(
    tokenizer: Any,
    training: Sequence[Example],
    validation: Sequence[Example],
    validation_logits: Floats,
    weights: Floats,
) -> Wide:
    """Fit the wide part on ``training``; weigh it and the encoder on ``validation``.

    ``validation_logits`` are the encoder's (rows × ``LOGITS``); ``weights`` is what each
    validation row counts for ``false`` (see ``models.calibrate.mix_weights``).
    """
    counts = features(tokenizer, [e.text for e in training])
    seen = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = (np.log((1 + len(training)) / (1 + seen)) + 1).astype(np.float32)
    rows = _scaled(counts, idf)
    asked = _scaled(features(tokenizer, [e.text for e in validation]), idf)

    columns: dict[str, tuple[Floats, Floats]] = {
        name: _regression(name, label, rows, training) for name, label in _LABELS.items()
    }
    wide = {name: asked @ w.T + b for name, (w, b) in columns.items()}
    out = Wide()
    table = np.zeros((BUCKETS, LOGITS), np.float32)
    bias, deep = np.zeros(LOGITS, np.float32), np.ones(LOGITS, np.float32)
    for name, at in head_slices().items():
        known = [i for i, e in enumerate(validation) if _LABELS[name](e) is not None]
        if name in ("false", "malinformation"):
            count = weights if name == "false" else _annotated(validation)
            a, b, c = _weigh_binary(
                validation_logits[:, at.start], wide[name][:, 0], validation, name, count
            )
            w, offset = columns[name]
            table[:, at], bias[at], deep[at] = (b * w).T, b * offset + c, a
        elif known:
            parts = [validation_logits[:, at], wide[name]]
            if name == "technique":
                parts.append(wide["group"] * _DISINFORMATION)
            scales, biases = _weigh_classes(parts, validation, name)
            w, offset = columns[name]
            table[:, at] = scales[1] * w.T
            bias[at] = scales[1] * offset + biases
            deep[at] = scales[0]
            if name == "technique":
                w, offset = columns["group"]
                table[:, at] += scales[2] * w.T * _DISINFORMATION
                bias[at] += scales[2] * offset * _DISINFORMATION
    out.table.copy_(torch.from_numpy(table * idf[:, None]))
    out.square.copy_(torch.from_numpy(idf**2))
    out.bias.copy_(torch.from_numpy(bias))
    out.deep.copy_(torch.from_numpy(deep))
    return out


def _scaled(counts: sparse.csr_matrix, idf: Floats) -> sparse.csr_matrix:
    """Return what ``Wide.forward`` computes: counts times idf over the root of summed idf²."""
    length = np.sqrt(np.asarray(counts @ (idf**2)).ravel())
    return sparse.diags(1 / np.maximum(length, 1e-6)) @ counts @ sparse.diags(idf)


def _annotated(examples: Sequence[Example]) -> Floats:
    return np.array([e.malinformation_weight for e in examples])


def _regression(
    name: str, label: Label, rows: sparse.csr_matrix, examples: Sequence[Example]
) -> tuple[Floats, Floats]:
    """Return weights (logits × buckets) and biases of one head's regression."""
    known = [i for i, e in enumerate(examples) if label(e) is not None]
    width = {"group": 1}.get(name) or HEADS[name]
    if len({label(examples[i]) for i in known}) < 2:
        return np.zeros((width, BUCKETS), np.float32), np.zeros(width, np.float32)
    weight = None
    if name == "false":
        weight = [examples[i].weight for i in known]
    elif name == "malinformation":
        weight = [examples[i].malinformation_weight for i in known]
    model = LogisticRegression(
        C=3.0, max_iter=200, tol=1e-3, class_weight="balanced" if weight is None else None
    )
    truth = np.array([int(label(examples[i]) or 0) for i in known])
    model.fit(rows[known], truth, sample_weight=weight)
    if width == 1:
        return model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    weights = np.zeros((width, BUCKETS), np.float32)
    bias = np.full(width, float(model.intercept_.min()) - 1.0, np.float32)
    if len(model.classes_) == 2:
        weights[model.classes_[1]] = model.coef_[0]
        bias[model.classes_] = (0.0, float(model.intercept_[0]))
    else:
        weights[model.classes_] = model.coef_
        bias[model.classes_] = model.intercept_
    return weights, bias


def _weigh_binary(
    deep: Floats, wide: Floats, examples: Sequence[Example], name: str, count: Floats
) -> tuple[float, float, float]:
    """Return the weights of encoder and wide part and the bias with the lowest log loss."""
    truth = np.array([_LABELS[name](e) if _LABELS[name](e) is not None else -1 for e in examples])
    used = (truth >= 0) & (count > 0)
    if len(set(truth[used])) < 2:
        return 1.0, 0.0, 0.0
    model = LogisticRegression(C=1e3)
    both = np.stack([deep, wide], axis=1)[used]
    model.fit(both, truth[used].astype(int), sample_weight=count[used] / count[used].mean())
    a, b = model.coef_[0]
    return float(a), float(b), float(model.intercept_[0])


def _weigh_classes(
    parts: Sequence[Floats], examples: Sequence[Example], name: str
) -> tuple[Floats, Floats]:
    """Return one weight per part and a bias per class with the lowest balanced log loss."""
    classes = parts[0].shape[1]
    single = [i for i, e in enumerate(examples) if _LABELS[name](e) is not None]
    truth = np.array([int(_LABELS[name](examples[i]) or 0) for i in single])
    share = np.bincount(truth, minlength=classes) / max(len(truth), 1)
    count = 1.0 / np.maximum(share[truth], 0.02)
    grouped = [
        i for i, e in enumerate(examples) if name == "technique" and _LABELS["group"](e) is not None
    ]
    group = np.array([int(_LABELS["group"](examples[i]) or 0) for i in grouped])

    def loss(x: Floats) -> float:
        scales, biases = x[: len(parts)], x[len(parts) :]
        logits = sum(s * p for s, p in zip(scales, parts, strict=True)) + biases
        assert isinstance(logits, np.ndarray)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        total = -float(np.average(log_p[single, truth], weights=count))
        if grouped:
            sums = np.stack(
                [
                    np.logaddexp.reduce(log_p[grouped][:, side == _DISINFORMATION], axis=1)
                    for side in (0, 1)
                ],
                axis=1,
            )
            total -= float(sums[np.arange(len(group)), group].mean())
        return total + _PENALTY * float((biases**2).sum())

    start = np.concatenate([[1.0], np.zeros(len(parts) - 1 + classes)])
    found = minimize(loss, start, method="L-BFGS-B").x
    return found[: len(parts)], found[len(parts) :]
