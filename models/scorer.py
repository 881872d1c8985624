"""The one scoring path: texts in, scores out. No torch.

``encode_pre`` (normalise, tokenise, window) → ``encode_core`` (the graph, in batches of like
length under a token budget, one batch per core) → ``encode_post`` (windows to posts, heads to
labels). No step looks across a batch, so a text's score does not depend on its company.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.labels import HOAX_TECHNIQUES, TECHNIQUES, TONES
from models.likeness import Space
from models.probabilities import Probabilities, heads_to_probabilities
from models.release import Release, open_release
from models.text import normalise

Floats = npt.NDArray[np.float32]
Ids = list[int]

WINDOW: Final = 96
"""Tokens of one window without <s> and </s>; the training texts end at 64."""
OVERLAP: Final = 24
TOKENS_PER_BATCH: Final = 768
"""Padded tokens of one run of the graph: measured best on two cores (docs/benchmark.md)."""
POSTS_PER_ROUND: Final = 4096
"""Distinct texts that are sorted by length together; bounds memory."""
START, END, PAD = 0, 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Cut-offs on ``risk`` for a review budget: the top 1 % and the top 5 % of a usual feed."""

    budget_1: float
    budget_5: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the model says of one post; a triage by style and likeness, not a verdict.

    ``risk`` is the calibrated chance that a moderator would keep the post flagged. ``false``,
    ``hoax``, ``disinformation`` and ``malinformation`` are probabilities; ``technique`` is given
    for a post labelled hoax or disinformation, None for others; ``tone`` is one of ``TONES``.
    """

    risk: float
    label: str
    false: float
    hoax: float
    disinformation: float
    malinformation: float
    technique: str | None
    tone: str


NOTHING_TO_JUDGE: Final = Score(
    risk=0.0,
    label="valid",
    false=0.0,
    hoax=0.0,
    disinformation=0.0,
    malinformation=0.0,
    technique=None,
    tone="neutral",
)
"""The score of a post without words: links, mentions or signs alone."""


class Calibration:
    """``risk`` from the chance that a post is false or malinformation (Platt, 1999)."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.slope = float(settings["risk"]["slope"])
        self.intercept = float(settings["risk"]["intercept"])
        self.temperatures = {k: float(v) for k, v in settings["temperatures"].items()}

    def risk(self, p: Probabilities) -> npt.NDArray[np.float64]:
        """Return the calibrated risk per row."""
        either = np.clip(p.either, 1e-7, 1 - 1e-7)
        logit = np.log(either) - np.log1p(-either)
        out: npt.NDArray[np.float64] = 0.5 * (
            1.0 + np.tanh(0.5 * (self.slope * logit + self.intercept))
        )
        return out


class Scorer:
    """Scores posts with a release; safe to call from several threads."""

    def __init__(self, release: Release, *, threads: int | None = None) -> None:
        """Load the graph; ``threads`` is the number of batches run at once (default: cores)."""
        import onnxruntime
        from tokenizers import Tokenizer

        self.release = release
        self.version = release.version
        self.thresholds = Thresholds(**release.thresholds["budgets"])
        self.calibration = Calibration(release.thresholds)
        self.space = Space.load(release.folder)
        self.threads = threads or os.cpu_count() or 1
        self._tokenizer = Tokenizer.from_file(str(release.tokenizer))
        options = onnxruntime.SessionOptions()
        # One thread per batch and one batch per core: no core waits for another inside a product.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without VNNI, 8-bit products are added in 16 bits and may saturate: take the exact way.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(
            str(release.model), options, providers=["CPUExecutionProvider"]
        )
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="scorer")

    @classmethod
    def load(cls, folder: Path | None = None, *, threads: int | None = None) -> Scorer:
        """Return a scorer for the release in ``folder`` (default: the shipped model).

        Raises:
            ReleaseError: a file of the release is missing or was changed.
        """
        return cls(open_release(folder), threads=threads)

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Return one score per text, in order; identical texts are scored once."""
        return [score for score, _ in self._score(texts, with_embedding=False)]

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, Floats]]:
        """Return ``(score, embedding)`` per text; the embedding has length 1 (zeros: no words)."""
        return self._score(texts, with_embedding=True)

    def logits(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Return ``(logits, embeddings)`` of raw texts, windows pooled: what evaluation reads."""
        pooled = self._run([normalise(text) for text in texts])
        return np.stack([row for row, _ in pooled]), np.stack([vector for _, vector in pooled])

    def _score(self, texts: Sequence[str], *, with_embedding: bool) -> list[tuple[Score, Floats]]:
        places: dict[str, list[int]] = {}
        for i, text in enumerate(texts):
            places.setdefault(text, []).append(i)
        by_normal: dict[str, list[int]] = {}
        for text, indices in places.items():
            by_normal.setdefault(normalise(text), []).extend(indices)
        empty = np.zeros(0, np.float32)
        out: list[tuple[Score, Floats]] = [(NOTHING_TO_JUDGE, empty)] * len(texts)
        unique = [text for text in by_normal if any(c.isalpha() for c in text)]
        for start in range(0, len(unique), POSTS_PER_ROUND):
            chunk = unique[start : start + POSTS_PER_ROUND]
            pooled = self._run(chunk)
            scores = self.encode_post(np.stack([row for row, _ in pooled]))
            for text, score, (_, vector) in zip(chunk, scores, pooled, strict=True):
                for i in by_normal[text]:
                    out[i] = (score, vector if with_embedding else empty)
        return out

    # --- the three steps ----------------------------------------------------------------------

    def encode_pre(self, texts: Sequence[str]) -> list[list[Ids]]:
        """Return the windows of each normalised text, as token ids with <s> and </s>."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[[START, *window, END] for window in windows(e.ids)] for e in encoded]

    def encode_core(self, batch: Sequence[Ids]) -> tuple[Floats, Floats]:
        """Run the graph once; return ``(logits, embeddings)``, a row per window."""
        longest = max(map(len, batch))
        ids = np.full((len(batch), longest), PAD, np.int64)
        mask = np.zeros((len(batch), longest), np.int64)
        for row, window in enumerate(batch):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        logits, embeddings = self._session.run(
            ["logits", "embedding"], {"input_ids": ids, "attention_mask": mask}
        )
        return logits, embeddings

    def encode_post(self, logits: Floats) -> list[Score]:
        """Return the score of each row of pooled logits."""
        p = heads_to_probabilities(logits.astype(np.float64), self.calibration.temperatures)
        risk = self.calibration.risk(p)
        hoax, disinformation = p.hoax, p.disinformation
        return [
            _score_of(
                risk=float(risk[i]),
                flagged=bool(risk[i] >= self.thresholds.budget_5),
                false=float(p.false[i]),
                hoax=float(hoax[i]),
                disinformation=float(disinformation[i]),
                malinformation=float(p.malinformation[i]),
                technique=p.technique[i],
                tone=TONES[int(p.tone[i].argmax())],
            )
            for i in range(len(logits))
        ]

    def _run(self, texts: Sequence[str]) -> list[tuple[Floats, Floats]]:
        """Return pooled ``(logits, embedding)`` per normalised text."""
        spans: list[tuple[int, int]] = []
        flat: list[Ids] = []
        for parts in self.encode_pre(texts):
            spans.append((len(flat), len(flat) + len(parts)))
            flat.extend(parts)
        logits: list[Any] = [None] * len(flat)
        vectors: list[Any] = [None] * len(flat)
        batches = list(token_batches([len(w) for w in flat]))
        results = (
            map(self.encode_core, ([flat[i] for i in b] for b in batches))
            if len(batches) == 1
            else self._pool.map(self.encode_core, [[flat[i] for i in b] for b in batches])
        )
        for batch, (rows, embeddings) in zip(batches, results, strict=True):
            for i, row, vector in zip(batch, rows, embeddings, strict=True):
                logits[i], vectors[i] = row, vector
        return [
            pool_windows(np.stack(logits[a:b]), np.stack(vectors[a:b]), [len(w) for w in flat[a:b]])
            for a, b in spans
        ]


def windows(ids: Ids) -> Iterator[Ids]:
    """Cut a long post into windows of ``WINDOW`` tokens that overlap by ``OVERLAP``."""
    if len(ids) <= WINDOW:
        yield ids
        return
    step = WINDOW - OVERLAP
    for start in range(0, len(ids) - OVERLAP, step):
        yield ids[start : start + WINDOW]


def pool_windows(
    logits: Floats, embeddings: Floats, lengths: Sequence[int]
) -> tuple[Floats, Floats]:
    """Return one row for the windows of a post.

    The heads are averaged over the windows by their length; false and malinformation over the
    half that speaks most for them, for a falsehood need not fill a long post, and one odd window
    must not decide.
    """
    if len(logits) == 1:
        return logits[0], embeddings[0]
    weight = np.asarray(lengths, np.float32)
    row = np.average(logits, axis=0, weights=weight).astype(np.float32)
    for column in _RISKY_COLUMNS:
        top = np.sort(logits[:, column])[::-1][: (len(logits) + 1) // 2]
        row[column] = top.mean()
    vector = np.average(embeddings, axis=0, weights=weight)
    return row, (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)


def _risky_columns() -> list[int]:
    from models.labels import head_slices

    at = head_slices()
    return [at["false"].start, at["malinformation"].start]


_RISKY_COLUMNS: Final = _risky_columns()


def token_batches(lengths: Sequence[int], budget: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Yield indices in batches of like length, longest first, at most ``budget`` padded tokens."""
    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch = []
        if not batch:
            longest = lengths[i]
        batch.append(i)
    if batch:
        yield batch


def _score_of(
    *,
    risk: float,
    flagged: bool,
    false: float,
    hoax: float,
    disinformation: float,
    malinformation: float,
    technique: npt.NDArray[Any],
    tone: str,
) -> Score:
    chances = {"hoax": hoax, "disinformation": disinformation, "malinformation": malinformation}
    label = max(chances, key=chances.__getitem__) if flagged else "valid"
    named = None
    if label in ("hoax", "disinformation"):
        group = [i for i, t in enumerate(TECHNIQUES) if (t in HOAX_TECHNIQUES) == (label == "hoax")]
        named = TECHNIQUES[max(group, key=lambda i: float(technique[i]))]
    return Score(
        risk=risk,
        label=label,
        false=false,
        hoax=hoax,
        disinformation=disinformation,
        malinformation=malinformation,
        technique=named,
        tone=tone,
    )
