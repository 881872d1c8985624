"""The corpus: labelled files and one table of sources in, examples with parts out.

Every source is de-duplicated against every other before the split, near-duplicates too, so
that nothing in validation or test has a twin in training.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from models.errors import CorpusError
from models.labels import HOAX_TECHNIQUES, TECHNIQUES, TONES
from models.text import normalise
from models.voice import LEAKS, lead, strip_false, strip_news

COLUMNS: Final = (
    "source",
    "id",
    "date",
    "text",
    "title",
    "label",
    "type",
    "tone",
    "platform",
    "url",
)
PARTS: Final = ("train", "valid", "test")
SOURCES_FILE: Final = Path(__file__).with_name("sources.toml")
EXAMPLES_FOLDER: Final = Path(__file__).with_name("examples")
NEAR: Final = 0.7
"""Jaccard similarity of character 5-grams from which two texts count as one (design)."""
ASSUMED: Final = 0.2
"""Weight of a malinformation label that follows from what a row is (news carries no hate): without
it, the easy rows of the other sources drown the annotated ones."""
MIN_CHARS: Final = 12
"""A shorter text says nothing; kept for tone only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One text with what it teaches; None where a head learns nothing from it.

    ``technique`` is an index into ``TECHNIQUES``; ``group`` is 0 for hoax and 1 for
    disinformation where only the sum of a group is known.
    """

    id: str
    source: str
    outlet: str
    date: str
    text: str
    field: str
    kind: str
    part: str
    weight: float = 1.0
    malinformation_weight: float = 1.0
    """How much the label counts in the loss: less where it is assumed and no one gave it."""
    false: float | None = None
    technique: int | None = None
    group: int | None = None
    malinformation: float | None = None
    tone: int | None = None


@dataclass(slots=True, kw_only=True)
class Corpus:
    """Examples, and the count of what was dropped on the way and why."""

    examples: list[Example]
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def part(self, name: str) -> list[Example]:
        """Return the examples of one part: train, valid or test."""
        return [e for e in self.examples if e.part == name]


def read_sources(path: Path = SOURCES_FILE) -> dict[str, Any]:
    """Return the table of sources.

    Raises:
        CorpusError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CorpusError(f"the table of sources {path} cannot be read: {error}") from error


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a labelled CSV or JSONL file, every column of ``COLUMNS`` as text.

    Raises:
        CorpusError: the file is unreadable, or a row is broken (with file and line).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix == ".jsonl":
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield _jsonl_row(line, path, number)
                return
            csv.field_size_limit(sys.maxsize)
            reader = csv.DictReader(stream)
            missing = {"text", "label"} - set(reader.fieldnames or ())
            if missing:
                raise CorpusError(
                    f"{path}, line 1: no column {' and '.join(sorted(missing))}; "
                    f"the format is {','.join(COLUMNS)}"
                )
            for row in reader:
                if None in row or None in row.values():
                    raise CorpusError(
                        f"{path}, line {reader.line_num}: the row has not as many fields as the "
                        "header; quote fields that hold commas"
                    )
                yield {name: row.get(name) or "" for name in COLUMNS}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}; it must be UTF-8 CSV") from error


def _jsonl_row(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise CorpusError(f"{path}, line {number}: not JSON ({error})") from error
    if not isinstance(row, dict) or "text" not in row:
        raise CorpusError(f"{path}, line {number}: an object with a field `text` is expected")
    return {name: str(row.get(name) or "") for name in COLUMNS}


def build_corpus(folder: Path, sources: Mapping[str, Any] | None = None) -> Corpus:
    """Read every source found in ``folder`` and return the de-duplicated, split corpus.

    Raises:
        CorpusError: no file of the table is there, or a file is broken.
    """
    table = dict(sources if sources is not None else read_sources())
    time = table["time"]
    dropped: Counter[tuple[str, str]] = Counter()
    examples: list[Example] = []
    found = False
    for name, source in table["sources"].items():
        for file in source["files"]:
            path = next((p for p in (folder / file, EXAMPLES_FOLDER / file) if p.is_file()), None)
            if path is None:
                dropped[name, "file not found"] += 1
                continue
            found = found or path.parent == folder
            for row in read_rows(path):
                examples.extend(_examples(name, source, row, time, dropped))
    if not found:
        raise CorpusError(
            f"{folder} holds none of the files that models/sources.toml names: "
            "point LILIN_DATA_DIR at the folder of labelled data (docs/data-format.md)"
        )
    return deduplicate(Corpus(examples=examples, dropped=dropped))


_IMPERSONATION: Final = re.compile(r"mengatasnamakan|catut nama|mencatut|palsu\b", re.IGNORECASE)


def _examples(
    name: str,
    source: Mapping[str, Any],
    row: Mapping[str, str],
    time: Mapping[str, str],
    dropped: Counter[tuple[str, str]],
) -> Iterator[Example]:
    labels = source["labels"]
    label = labels.get(row["label"], labels.get("*"))
    if label is None or row["type"] in source.get("drop_types", ()):
        dropped[name, "label not used"] += 1
        return
    if "only" in source and not re.search(source["only"], row["text"], re.IGNORECASE):
        dropped[name, "not of this kind"] += 1
        return
    part, teaches_group = _part(source, row, time)
    if part == "undated":
        dropped[name, "no date, so no side of the split"] += 1
        return
    for column in source["fields"]:
        raw = row["text"] if column == "lead" else row[column]
        for pattern, instead in source.get("clean", ()):
            raw = re.sub(pattern, instead, raw)
        text = _stripped(raw, column, label, source)
        if text is None:
            dropped[name, "only the fact-checker's voice"] += 1
            continue
        text = normalise(text)
        if len(text) < MIN_CHARS and not row["tone"]:
            dropped[name, "too short"] += 1
            continue
        if part == "train" and _share(text) >= source.get("keep", 1.0):
            dropped[name, "sampled out of training"] += 1
            continue
        chosen = _hash_part(text) if part == "hash" else part
        technique = source.get("types", {}).get(row["type"])
        group = {"hoax": 0, "disinformation": 1}.get(label.get("group", ""))
        false = label.get("false")
        yield Example(
            id=f"{row['id']}/{column}",
            source=name,
            outlet=row["source"],
            date=row["date"].replace("/", "-") if row["date"][:4].isdigit() else "",
            text=text,
            field=column,
            kind=source.get("kinds", {}).get(
                row["type"], source.get("kind", "false" if false else "other")
            ),
            part=chosen,
            weight=source.get("weight", 1.0),
            malinformation_weight=1.0 if "malinformation_types" in source else ASSUMED,
            # "akun … mengatasnamakan …" is how a fact-checker names an impostor: it tells the
            # technique, but a post never says so of itself.
            false=None if false == 1 and _IMPERSONATION.search(text) else false,
            technique=None if technique is None else TECHNIQUES.index(technique),
            group=group if teaches_group else None,
            malinformation=_malinformation(source, row, label),
            tone=TONES.index(row["tone"]) if row["tone"] in TONES else None,
        )


def _stripped(
    raw: str, column: str, label: Mapping[str, Any], source: Mapping[str, Any]
) -> str | None:
    if source.get("voice") == "keep":
        return raw
    if column == "lead":
        return lead(raw)
    if label.get("false") == 1:
        return strip_false(raw)
    return strip_news(raw) if source.get("kind") == "news" else raw


def _malinformation(
    source: Mapping[str, Any], row: Mapping[str, str], label: Mapping[str, Any]
) -> float | None:
    wanted = source.get("malinformation_types")
    if wanted is None:
        value = label.get("malinformation")
        return None if value is None else float(value)
    return float(bool(set(wanted) & set(row["type"].split("|"))))


def _part(
    source: Mapping[str, Any],
    row: Mapping[str, str],
    time: Mapping[str, str],
) -> tuple[str, bool]:
    """Return the part of a row, and whether its group (hoax, disinformation) may be learnt."""
    date = row["date"]
    if "part" not in source and not date:
        return "undated", False
    if "group_test" in source:
        start, end = source["group_test"]
        if start <= date < end:
            return "test", True
        if date < source["group_before"]:
            return ("valid" if date >= f"{int(start[:4]) - 1}-10" else "train"), True
    if "part" in source:
        return source["part"], True
    train_before = source.get("train_before", time["valid_from"])
    valid_before = source.get("valid_before", time["test_from"])
    part = "train" if date < train_before else "valid" if date < valid_before else "test"
    return part, "group_test" not in source


def _share(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def _hash_part(text: str) -> str:
    share = _share("part" + text)
    return "train" if share < 0.7 else "valid" if share < 0.8 else "test"


# --- duplicates -------------------------------------------------------------------------------


def shingles(text: str, size: int = 5) -> set[str]:
    """Return the character ``size``-grams of a normalised text without its punctuation."""
    plain = re.sub(r"[\W_]+", " ", text).strip()
    return {plain[i : i + size] for i in range(max(1, len(plain) - size + 1))}


def near_clusters(texts: Sequence[str]) -> list[int]:
    """Return a cluster number per text; texts with Jaccard >= ``NEAR`` share one.

    MinHash bands (rensa, 128 permutations in 16 bands) propose, exact Jaccard confirms, and a
    union-find joins.
    """
    from rensa import RMinHash

    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    bands, rows = 16, 8
    for i, text in enumerate(texts):
        sketch = RMinHash(num_perm=bands * rows, seed=42)
        sketch.update(sorted(shingles(text)))
        digest = sketch.digest()
        for b in range(bands):
            key = b"".join(v.to_bytes(4, "big") for v in digest[b * rows : (b + 1) * rows])
            buckets[b, key].append(i)
    for members in buckets.values():
        # A bucket's first members stand for it; comparing all pairs of a viral text is quadratic.
        for i in members[1:]:
            for j in members[:8]:
                if j == i:
                    break
                a, b2 = root(i), root(j)
                if a != b2 and _jaccard(texts[i], texts[j]) >= NEAR:
                    parent[max(a, b2)] = min(a, b2)
    return [root(i) for i in range(len(texts))]


def _jaccard(a: str, b: str) -> float:
    x, y = shingles(a), shingles(b)
    return len(x & y) / len(x | y)


_ORDER: Final = {"test": 0, "valid": 1, "train": 2}
MAX_NEAR_IN_TRAINING: Final = 3
"""Near-copies of one text in training; more would only repeat it."""


def deduplicate(corpus: Corpus) -> Corpus:
    """Return the corpus with one example per text and no near-duplicate across parts.

    A cluster belongs to its latest part (test before validation before training); its other
    members are dropped. Where twins disagree, the false one stays: an unlabelled twin of a
    known falsehood is no negative.
    """
    dropped = Counter(corpus.dropped)
    by_text: dict[str, Example] = {}
    for example in corpus.examples:
        known = by_text.get(example.text)
        if known is None:
            by_text[example.text] = example
            continue
        dropped[example.source, "same text"] += 1
        by_text[example.text] = _merge(known, example)
    unique = list(by_text.values())
    clusters: dict[int, list[Example]] = defaultdict(list)
    for example, cluster in zip(unique, near_clusters([e.text for e in unique]), strict=True):
        clusters[cluster].append(example)
    kept: list[Example] = []
    for members in clusters.values():
        part = min((e.part for e in members), key=_ORDER.__getitem__)
        any_false = any(e.false == 1 for e in members)
        stay = 0
        for example in members:
            if example.part != part:
                dropped[example.source, "near-duplicate of a later part"] += 1
            elif any_false and example.false == 0:
                dropped[example.source, "near-duplicate of a false post"] += 1
            elif part == "train" and stay >= MAX_NEAR_IN_TRAINING:
                dropped[example.source, "near-duplicate in training"] += 1
            elif part != "train" and stay >= 1:
                dropped[example.source, "near-duplicate in its part"] += 1
            else:
                stay += 1
                kept.append(example)
    return Corpus(examples=kept, dropped=dropped)


def _merge(a: Example, b: Example) -> Example:
    """Return one example for two rows of the same text: the later part, every known label."""
    first, second = (a, b) if _ORDER[a.part] <= _ORDER[b.part] else (b, a)
    if first.part != second.part and second.part == "train":
        # The test keeps its own labels; what training knew of this text goes with it.
        return replace(first, false=1.0 if 1 in (a.false, b.false) else first.false)
    return replace(
        first,
        false=max((v for v in (a.false, b.false) if v is not None), default=None),
        technique=first.technique if first.technique is not None else second.technique,
        group=first.group if first.group is not None else second.group,
        malinformation=max(
            (v for v in (a.malinformation, b.malinformation) if v is not None), default=None
        ),
        tone=first.tone if first.tone is not None else second.tone,
        weight=max(a.weight, b.weight),
        malinformation_weight=max(a.malinformation_weight, b.malinformation_weight),
    )


# --- report -----------------------------------------------------------------------------------


def leaks(examples: Iterable[Example]) -> list[Example]:
    """Return the training examples of false posts in which the fact-checker still speaks."""
    return [e for e in examples if e.false == 1 and LEAKS.search(e.text)]


def telling_words(
    examples: Sequence[Example], *, top: int = 15, min_count: int = 30
) -> list[tuple[str, str, int, float]]:
    """Return words that alone betray a source: (source, word, count, share of the word's uses).

    Counted once per text over all training examples; only words with a share of 0.9 or more in
    one source are listed, ``top`` per source.
    """
    per_word: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for word in set(re.findall(r"\w+", example.text)):
            per_word[word][example.source] += 1
    rows: dict[str, list[tuple[str, str, int, float]]] = defaultdict(list)
    for word, counts in per_word.items():
        total = counts.total()
        source, count = counts.most_common(1)[0]
        if total >= min_count and count / total >= 0.9:
            rows[source].append((source, word, total, count / total))
    return [r for s in sorted(rows) for r in sorted(rows[s], key=lambda r: -r[2])[:top]]


def report(corpus: Corpus) -> str:
    """Return the corpus report as Markdown: what came out, what was dropped, what leaks."""
    lines = ["# Corpus report", "", "| source | train | valid | test |", "|---|---|---|---|"]
    cells: Counter[tuple[str, str]] = Counter((e.source, e.part) for e in corpus.examples)
    lines += [
        f"| {source} | " + " | ".join(str(cells[source, p]) for p in PARTS) + " |"
        for source in sorted({s for s, _ in cells})
    ]
    total = Counter(e.part for e in corpus.examples)
    lines += ["| **all** | " + " | ".join(str(total[p]) for p in PARTS) + " |", ""]

    lines += ["| label | train | valid | test |", "|---|---|---|---|"]
    counts: Counter[tuple[str, str]] = Counter()
    for e in corpus.examples:
        for label in _labels_of(e):
            counts[label, e.part] += 1
    for label in sorted({s for s, _ in counts}):
        lines.append(f"| {label} | " + " | ".join(str(counts[label, p]) for p in PARTS) + " |")

    years: Counter[tuple[str, str]] = Counter(
        (e.date[:4] or "none", e.part) for e in corpus.examples
    )
    lines += ["", "| year | train | valid | test |", "|---|---|---|---|"]
    for year in sorted({y for y, _ in years}):
        lines.append(f"| {year} | " + " | ".join(str(years[year, p]) for p in PARTS) + " |")

    lines += ["", "## Dropped", "", "| source | why | rows |", "|---|---|---|"]
    lines += [f"| {s} | {why} | {n} |" for (s, why), n in sorted(corpus.dropped.items())]

    found = leaks(corpus.examples)
    lines += ["", "## Leak check", ""]
    lines.append(f"Texts of false posts in which the fact-checker still speaks: {len(found)}.")
    lines += [f"- {e.id}" for e in found[:20]]
    lines += ["", "Words that alone betray a source (90 % or more of their uses in it):", ""]
    lines += ["| source | word | texts | share |", "|---|---|---|---|"]
    words = telling_words(corpus.part("train"))
    lines += [f"| {s} | {w} | {n} | {share:.2f} |" for s, w, n, share in words]
    return "\n".join(lines) + "\n"


def _labels_of(e: Example) -> Iterator[str]:
    if e.false is not None:
        yield "false" if e.false else "not false"
    if e.technique is not None:
        technique = TECHNIQUES[e.technique]
        yield f"technique: {technique}"
        yield "group: hoax" if technique in HOAX_TECHNIQUES else "group: disinformation"
    elif e.group is not None:
        yield ("group: hoax", "group: disinformation")[e.group]
    if e.malinformation is not None:
        yield "malinformation" if e.malinformation else "not malinformation"
    if e.tone is not None:
        yield f"tone: {TONES[e.tone]}"
