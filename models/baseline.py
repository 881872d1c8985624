"""The rivals of an evaluation: TF-IDF with logistic regression, and the base without fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from models.corpus import Example

Floats = npt.NDArray[np.floating[Any]]
NEIGHBOURS: Final = 15


def tfidf(
    training: Sequence[Example], label: Callable[[Example], float | int | None], *, balanced: bool
) -> Callable[[Sequence[str]], Floats]:
    """Fit word (1-2) and character (2-5) TF-IDF with logistic regression on one label.

    Returns a function from texts to probabilities (rows × classes). ``balanced`` weighs the
    classes alike, else the sources' own weights count.
    """
    rows = [e for e in training if label(e) is not None]
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=150_000),
            TfidfVectorizer(
                analyzer="char_wb",
                ngram_range=(2, 5),
                min_df=3,
                sublinear_tf=True,
                max_features=200_000,
            ),
        ),
        LogisticRegression(C=3.0, max_iter=300, class_weight="balanced" if balanced else None),
    )
    weights = None if balanced else [e.weight for e in rows]
    model.fit(
        [e.text for e in rows],
        [int(label(e) or 0) for e in rows],
        logisticregression__sample_weight=weights,
    )
    return lambda texts: np.asarray(model.predict_proba(list(texts)))


def nearest(
    known: Floats, labels: npt.ArrayLike, asked: Floats, *, classes: int, k: int = NEIGHBOURS
) -> Floats:
    """Return class shares among the ``k`` nearest known embeddings (unit length), by cosine."""
    truth = np.asarray(labels, dtype=int)
    k = min(k, len(truth))
    out = np.zeros((len(asked), classes))
    for start in range(0, len(asked), 1024):
        similar = asked[start : start + 1024] @ known.T
        top = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        weight = np.take_along_axis(similar, top, axis=1)
        for c in range(classes):
            out[start : start + len(top), c] = (weight * (truth[top] == c)).sum(axis=1)
    total: Floats = out / out.sum(axis=1, keepdims=True)
    return total
