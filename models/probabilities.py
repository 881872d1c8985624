"""From the heads' logits to the probabilities of the four labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.labels import HOAX_TECHNIQUES, TECHNIQUES, head_slices

Floats = npt.NDArray[np.floating[Any]]
_AT: Final = head_slices()
_IS_HOAX: Final = np.array([t in HOAX_TECHNIQUES for t in TECHNIQUES])


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """Per row: ``false``, ``malinformation`` (n); ``technique``, ``tone`` (n × classes)."""

    false: Floats
    malinformation: Floats
    technique: Floats
    tone: Floats

    @property
    def disinformation_given_false(self) -> Floats:
        """The four techniques that bend something real, given that the post is false."""
        out: Floats = self.technique[:, ~_IS_HOAX].sum(-1)
        return out

    @property
    def hoax(self) -> Floats:
        """p(false) · p(fabricated or impostor | false)."""
        out: Floats = self.false * self.technique[:, _IS_HOAX].sum(-1)
        return out

    @property
    def disinformation(self) -> Floats:
        """p(false) · p(one of the other four techniques | false)."""
        return self.false * self.disinformation_given_false

    @property
    def either(self) -> Floats:
        """1 - (1 - p(false)) · (1 - p(malinformation)): what ``risk`` is calibrated from."""
        return 1.0 - (1.0 - self.false) * (1.0 - self.malinformation)


def heads_to_probabilities(
    logits: Floats, temperatures: Mapping[str, float] = MappingProxyType({})
) -> Probabilities:
    """Return the probabilities of ``logits`` (rows × ``LOGITS``).

    ``temperatures`` divides a head's logits before they become probabilities (Guo et al., 2017);
    1 where it names none.
    """

    def head(name: str) -> Floats:
        out: Floats = logits[:, _AT[name]] / temperatures.get(name, 1.0)
        return out

    return Probabilities(
        false=_sigmoid(head("false")[:, 0]),
        malinformation=_sigmoid(head("malinformation")[:, 0]),
        technique=_softmax(head("technique")),
        tone=_softmax(head("tone")),
    )


def _sigmoid(x: Floats) -> Floats:
    out: Floats = 0.5 * (1.0 + np.tanh(0.5 * x))
    return out


def _softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    out: Floats = e / e.sum(axis=-1, keepdims=True)
    return out
