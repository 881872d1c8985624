"""Scores made in bulk before a replay, and kept, so that the next one is quick."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import orjson

from models.scorer import Floats, Score

FOLDER: Final = Path("build/replay")
_ROUND: Final = 2000
_PART: Final = 500


class Model(Protocol):
    """What scores: ``models.scorer.Scorer`` or its fake."""

    version: str

    def score_and_embed(self, texts: Sequence[str]) -> Sequence[tuple[Score, Floats]]:
        """Return score and embedding of each text."""


class KeptScores:
    """A model whose scores are kept in a file, by its version and the text's hash.

    Embeddings are kept as the desk keeps them: float16.
    """

    def __init__(self, model: Model, folder: Path = FOLDER) -> None:
        self.version = model.version
        self._model = model
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"scores-{model.version}.db"
        with closing(self._open()) as kept, kept:
            kept.execute(
                "CREATE TABLE IF NOT EXISTS scores "
                "(text BLOB PRIMARY KEY, score BLOB, embedding BLOB) WITHOUT ROWID"
            )

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, Floats]]:
        """Return score and embedding of each text; what is not kept is scored and kept."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        with closing(self._open()) as kept:
            found = _read(kept, sorted(set(keys)))
            missing = {k: t for k, t in zip(keys, texts, strict=True) if k not in found}
            wanted = list(missing)
            for start in range(0, len(wanted), _ROUND):
                part = wanted[start : start + _ROUND]
                made = self._model.score_and_embed([missing[key] for key in part])
                new = {k: (s, _half(v)) for k, (s, v) in zip(part, made, strict=True)}
                found |= new
                with kept:  # what is scored stays, even if the rest is interrupted
                    kept.executemany(
                        "INSERT OR REPLACE INTO scores VALUES (?, ?, ?)",
                        [
                            (k, orjson.dumps(asdict(s)), v.astype(np.float16).tobytes())
                            for k, (s, v) in new.items()
                        ],
                    )
        return [found[key] for key in keys]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)


def _half(vector: Floats) -> Floats:
    return vector.astype(np.float16).astype(np.float32)


def _read(kept: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, tuple[Score, Floats]]:
    found: dict[bytes, tuple[Score, Floats]] = {}
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        marks = ",".join("?" * len(part))
        rows = kept.execute(f"SELECT * FROM scores WHERE text IN ({marks})", part)
        for key, score, embedding in rows:
            vector = np.frombuffer(embedding, np.float16).astype(np.float32)
            found[key] = (Score(**orjson.loads(score)), vector)
    return found
