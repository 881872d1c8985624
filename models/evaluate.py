"""The evaluation: every figure with its split, its rivals and its interval.

Test examples are never trained on, tuned on or calibrated on; see ``models.corpus`` for how they
are kept apart. ``evaluate`` measures, ``models.reports`` writes what was measured.
"""

from __future__ import annotations

import csv
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models import baseline
from models.calibrate import keepable, mix_weights, stratum
from models.corpus import Corpus, Example
from models.labels import HOAX_TECHNIQUES, TECHNIQUES, TONES
from models.metrics import (
    average_precision,
    interval,
    macro_f1,
    recall_at,
    roc_auc,
    weighted_calibration_error,
)
from models.probabilities import Probabilities, heads_to_probabilities
from models.scorer import Scorer

Floats = npt.NDArray[np.floating[Any]]
Columns = dict[str, Floats]
Figure = Callable[..., float]

SLICES_FILE: Final = Path(__file__).with_name("slices") / "slices.csv"
SYSTEMS: Final = ("TF-IDF", "base", "fp32", "shipped")
NEIGHBOUR_ROWS: Final = 3000
ROBUSTNESS_POSTS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One figure of one system: value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the evaluation: what was measured, on how many rows, by which systems."""

    name: str
    figure: str
    rows: int
    target: float | None
    systems: dict[str, Measured]


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """All that was measured of a release."""

    version: str
    corpus_rows: dict[str, int]
    rows: list[Row] = field(default_factory=list)
    details: list[Row] = field(default_factory=list)
    calibration_error: Measured | None = None
    reliability: list[tuple[float, float, float]] = field(default_factory=list)
    budgets: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    flags: list[tuple[str, str, int, float, float, float]] = field(default_factory=list)
    robustness: list[tuple[str, float, float]] = field(default_factory=list)


def columns_of(p: Probabilities) -> Columns:
    """Return the columns that the figures read."""
    return {
        "false": p.false,
        "malinformation": p.malinformation,
        "technique": p.technique,
        "group": p.disinformation_given_false,
        "tone": p.tone,
    }


def evaluate(
    scorer: Scorer,
    corpus: Corpus,
    *,
    fp32: Callable[[Sequence[str]], Floats] | None,
    embed_base: Callable[[Sequence[str]], Floats] | None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Measure a release on the test part of the corpus.

    ``fp32`` gives the logits of normalised texts by the network before rounding; ``embed_base``
    the embeddings of the base without fine-tuning (None leaves a system out).
    """
    test = corpus.part("test")
    texts = [e.text for e in test]
    temperatures = scorer.calibration.temperatures
    out = Evaluation(
        version=scorer.version,
        corpus_rows={part: len(corpus.part(part)) for part in ("train", "valid", "test")},
    )
    progress("shipped")
    shipped = heads_to_probabilities(scorer.logits(texts)[0].astype(np.float64), temperatures)
    systems = {"shipped": columns_of(shipped)}
    if fp32 is not None:
        progress("fp32")
        exact = heads_to_probabilities(fp32(texts).astype(np.float64), temperatures)
        systems["fp32"] = columns_of(exact)
    progress("TF-IDF")
    systems["TF-IDF"] = _tfidf_columns(corpus.part("train"), texts)
    if embed_base is not None:
        progress("base without fine-tuning")
        systems["base"] = _neighbour_columns(corpus.part("train"), texts, embed_base)

    progress("intervals")
    _main_rows(out, test, systems)
    _detail_rows(out, test, systems)
    _calibration(out, test, scorer.calibration.risk(shipped), scorer)
    progress("slices")
    _false_flags(out, test, scorer.calibration.risk(shipped), scorer)
    progress("robustness")
    out.robustness = robustness(scorer, [e.text for e in test if stratum(e)])
    return out


# --- rivals -------------------------------------------------------------------------------------


def _tfidf_columns(training: Sequence[Example], texts: Sequence[str]) -> Columns:
    technique = baseline.tfidf(training, lambda e: e.technique, balanced=True)(texts)
    padded = np.zeros((len(texts), len(TECHNIQUES)))
    seen = sorted({e.technique for e in training if e.technique is not None})
    padded[:, seen] = technique
    hate = [e for e in training if e.source == "hate_speech_tweets"] or training
    return {
        "false": baseline.tfidf(training, lambda e: e.false, balanced=False)(texts)[:, 1],
        "malinformation": baseline.tfidf(hate, lambda e: e.malinformation, balanced=False)(texts)[
            :, 1
        ],
        "technique": padded,
        "group": baseline.tfidf(training, group_only, balanced=True)(texts)[:, 1],
        "tone": baseline.tfidf(training, lambda e: e.tone, balanced=True)(texts),
    }


def group_only(example: Example) -> int | None:
    """Return the hoax / disinformation tag where no single technique is known."""
    return example.group if example.technique is None else None


def _neighbour_columns(
    training: Sequence[Example],
    texts: Sequence[str],
    embed: Callable[[Sequence[str]], Floats],
) -> Columns:
    asked = embed(texts)
    heads: dict[str, tuple[Callable[[Example], float | int | None], int]] = {
        "false": (lambda e: e.false, 2),
        "malinformation": (lambda e: e.malinformation, 2),
        "technique": (lambda e: e.technique, len(TECHNIQUES)),
        "group": (group_only, 2),
        "tone": (lambda e: e.tone, len(TONES)),
    }
    rng = random.Random(0)
    chosen = rng.sample(list(training), min(NEIGHBOUR_ROWS, len(training)))
    vectors = embed([e.text for e in chosen])
    columns: Columns = {}
    for name, (label, classes) in heads.items():
        known = [i for i, e in enumerate(chosen) if label(e) is not None]
        shares = baseline.nearest(
            vectors[known], [int(label(chosen[i]) or 0) for i in known], asked, classes=classes
        )
        columns[name] = shares[:, 1] if classes == 2 else shares
    return columns


# --- figures ------------------------------------------------------------------------------------


def _row(
    name: str,
    figure_name: str,
    figure: Figure,
    truth: npt.ArrayLike,
    scores: dict[str, npt.ArrayLike],
    target: float | None = None,
) -> Row:
    """Measure one figure for every system; no system where the rows do not define it."""
    truth = np.asarray(truth)
    systems: dict[str, Measured] = {}
    for system, score in scores.items():
        if len(np.unique(truth)) < 2:
            continue
        value, low, high = interval(figure, truth, score)
        systems[system] = Measured(value=value, low=low, high=high)
    return Row(name=name, figure=figure_name, rows=len(truth), target=target, systems=systems)


def _pick(systems: dict[str, Columns], column: str, index: Sequence[int]) -> dict[str, Any]:
    return {s: systems[s][column][list(index)] for s in SYSTEMS if s in systems}


def _classes(systems: dict[str, Columns], column: str, index: Sequence[int]) -> dict[str, Any]:
    return {s: p.argmax(-1) for s, p in _pick(systems, column, index).items()}


def _where(examples: Sequence[Example], wanted: Callable[[Example], bool]) -> list[int]:
    return [i for i, e in enumerate(examples) if wanted(e)]


def recent_false(e: Example) -> bool:
    """A false post as it circulated, debunked after the training ends."""
    return e.false == 1 and e.field == "text" and e.source == "turnbackhoax_types"


def _main_rows(out: Evaluation, test: Sequence[Example], systems: dict[str, Columns]) -> None:
    false = _where(test, recent_false)
    rivals = {
        "titles and leads of 2025": _where(test, lambda e: e.false == 0 and e.kind == "news"),
        "posts about the government": _where(
            test, lambda e: e.false == 0 and e.kind == "government"
        ),
    }
    for kind, genuine in rivals.items():
        index = false + genuine
        truth = np.array([1] * len(false) + [0] * len(genuine))
        name = f"false posts debunked from 2025-12 on, against {kind}"
        scores = _pick(systems, "false", index)
        out.rows.append(_row(name, "ROC AUC", roc_auc, truth, scores, 0.95))
        out.rows.append(
            _row(
                name,
                "share found at 5 % flagged",
                lambda t, s: recall_at(t, s, 0.05),
                truth,
                scores,
                0.80,
            )
        )
    komdigi = _where(test, lambda e: e.source == "komdigi" and e.group is not None)
    out.rows.append(
        _row(
            "hoax or disinformation, Komdigi 2023-01 to 06",
            "macro-F1",
            macro_f1,
            [test[i].group or 0 for i in komdigi],
            {s: (p > 0.5).astype(int) for s, p in _pick(systems, "group", komdigi).items()},
            0.80,
        )
    )
    typed = _where(test, lambda e: recent_false(e) and e.technique is not None)
    out.rows.append(
        _row(
            "five techniques, debunked from 2025-12 on",
            "macro-F1",
            macro_f1,
            [test[i].technique or 0 for i in typed],
            _classes(systems, "technique", typed),
            0.50,
        )
    )
    hate = _where(test, lambda e: e.source == "hate_speech_tweets")
    out.rows.append(
        _row(
            "malinformation: group hate or strong hate (tweets up to 2019)",
            "average precision",
            average_precision,
            [test[i].malinformation or 0.0 for i in hate],
            _pick(systems, "malinformation", hate),
            0.85,
        )
    )
    for source, name, target in (
        ("smsa_test", "tone, SmSA test", 0.88),
        ("nusax_id_test", "tone, NusaX-id test", 0.80),
    ):
        toned = _where(test, lambda e, source=source: e.source == source)  # type: ignore[misc]
        out.rows.append(
            _row(
                name,
                "macro-F1",
                macro_f1,
                [test[i].tone or 0 for i in toned],
                _classes(systems, "tone", toned),
                target,
            )
        )
    out.rows = [row for row in out.rows if row.systems]


def _detail_rows(out: Evaluation, test: Sequence[Example], systems: dict[str, Columns]) -> None:
    """The false head per genuine source, per month, and on titles alone."""
    false = _where(test, recent_false)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, e in enumerate(test):
        if e.false == 0 and e.kind in ("news", "government", "chatter"):
            groups[f"{e.outlet or e.source}, {e.field}"].append(i)
    for name, genuine in sorted(groups.items()):
        if len(genuine) >= 50:
            out.details.append(
                _row(
                    f"false posts against {name}",
                    "ROC AUC",
                    roc_auc,
                    [1] * len(false) + [0] * len(genuine),
                    _pick(systems, "false", false + genuine),
                )
            )
    every = _where(test, lambda e: e.false == 0 and e.kind in ("news", "government"))
    months = sorted({test[i].date[:7] for i in false})
    for month in months:
        part = [i for i in false if test[i].date[:7] == month]
        out.details.append(
            _row(
                f"false posts debunked in {month}, against news and government posts",
                "ROC AUC",
                roc_auc,
                [1] * len(part) + [0] * len(every),
                _pick(systems, "false", part + every),
            )
        )
    claims = _where(
        test,
        lambda e: e.false == 1 and e.field == "title" and e.source == "turnbackhoax_types",
    )
    titles = _where(test, lambda e: e.false == 0 and e.kind == "news" and e.field != "lead")
    out.details.append(
        _row(
            "claims as the fact-checker words them, against news titles",
            "ROC AUC",
            roc_auc,
            [1] * len(claims) + [0] * len(titles),
            _pick(systems, "false", claims + titles),
        )
    )
    typed = _where(test, lambda e: recent_false(e) and e.technique is not None)
    truth = np.array([test[i].technique for i in typed])
    for t, technique in enumerate(TECHNIQUES):
        if (truth == t).sum() >= 5:
            out.details.append(
                _row(
                    f"technique {technique} against the others "
                    f"({'hoax' if technique in HOAX_TECHNIQUES else 'disinformation'})",
                    "average precision",
                    average_precision,
                    truth == t,
                    {s: p[:, t] for s, p in _pick(systems, "technique", typed).items()},
                )
            )


def _calibration(out: Evaluation, test: Sequence[Example], risk: Floats, scorer: Scorer) -> None:
    weights = mix_weights(test)
    used = weights > 0
    truth, risk, weights = keepable(test)[used].astype(float), risk[used], weights[used]
    value, low, high = interval(weighted_calibration_error, truth, risk, weights)
    out.calibration_error = Measured(value=value, low=low, high=high)
    edges = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.01]
    for low, high in itertools.pairwise(edges):
        inside = (risk >= low) & (risk < high)
        if inside.any():
            w = weights[inside]
            out.reliability.append(
                (
                    float(w.sum()),
                    float(np.average(risk[inside], weights=w)),
                    float(np.average(truth[inside], weights=w)),
                )
            )
    for name, cut in (
        ("top 1 %", scorer.thresholds.budget_1),
        ("top 5 %", scorer.thresholds.budget_5),
    ):
        flagged = risk >= cut
        share = float(weights[flagged].sum())
        hit = float((weights * truth)[flagged].sum())
        out.budgets[name] = (share, hit / max(share, 1e-12), hit / float((weights * truth).sum()))


def read_slices(path: Path = SLICES_FILE) -> dict[str, list[str]]:
    """Return the posts written for the evaluation, by slice; none of them is trained on."""
    slices: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            slices[row["slice"]].append(row["text"])
    return dict(slices)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * ((p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _false_flags(out: Evaluation, test: Sequence[Example], risk: Floats, scorer: Scorer) -> None:
    """Share flagged at the 5 % budget, per slice; on false posts this is the share found."""
    cut = scorer.thresholds.budget_5
    groups: list[tuple[str, str, npt.NDArray[np.bool_]]] = []
    for name, posts in read_slices().items():
        scored = np.array([s.risk >= cut for s in scorer.score(posts)])
        groups.append((name, "written for this test", scored))
    for name, wanted in (
        ("false", recent_false),
        ("news", lambda e: e.false == 0 and e.kind == "news"),
        ("government posts", lambda e: e.false == 0 and e.kind == "government"),
        (
            "ordinary",
            lambda e: e.false == 0 and e.kind == "chatter" and e.source == "emotion_tweets",
        ),
    ):
        index = _where(test, wanted)
        groups.append((name, "real posts of the test part", risk[index] >= cut))
    for name, origin, flagged in groups:
        hits, n = int(flagged.sum()), len(flagged)
        out.flags.append((name, origin, n, hits / max(n, 1), *wilson(hits, n)))


# --- robustness ---------------------------------------------------------------------------------


_TWINS: Final = str.maketrans("aeopcxs", "аеорсхѕ")


def _variants(text: str, rng: random.Random) -> dict[str, str]:
    words = text.split()
    spot = rng.randrange(len(words) + 1)
    return {
        "upper case": text.upper(),
        "title case": text.title(),
        "emoji added": " ".join([*words[:spot], "😱🔥", *words[spot:], "🙏🙏"]),
        "zero-width signs": "".join(c + ("\u200b" if rng.random() < 0.2 else "") for c in text),
        "look-alike letters": text.translate(_TWINS),
        "letters as digits": "".join(
            {"a": "4", "i": "1", "e": "3", "o": "0"}.get(c, c) if rng.random() < 0.3 else c
            for c in text
        ),
        "link added": f"{text} https://contoh.example/{rng.randrange(10**6)}",
        "mentions added": f"@warga_{rng.randrange(99)} @kabar {text}",
        "punctuation removed": "".join(c for c in text if c.isalnum() or c.isspace()),
        "quotation marks": f"“{text}”",
    }


def robustness(scorer: Scorer, texts: Sequence[str]) -> list[tuple[str, float, float]]:
    """Return, per change, the median and the 95th percentile of how far ``risk`` moves."""
    rng = random.Random(5)
    chosen = rng.sample(list(texts), min(ROBUSTNESS_POSTS, len(texts)))
    before = np.array([s.risk for s in scorer.score(chosen)])
    changed: dict[str, list[str]] = defaultdict(list)
    for text in chosen:
        for name, variant in _variants(text, rng).items():
            changed[name].append(variant)
    out = []
    for name, posts in changed.items():
        moved = np.abs(np.array([s.risk for s in scorer.score(posts)]) - before)
        out.append((name, float(np.median(moved)), float(np.quantile(moved, 0.95))))
    return out
