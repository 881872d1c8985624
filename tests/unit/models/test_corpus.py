"""The corpus: what comes out of labelled files, and what never mixes."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from models.corpus import (
    COLUMNS,
    NEAR,
    Corpus,
    Example,
    build_corpus,
    deduplicate,
    leaks,
    near_clusters,
    read_rows,
    report,
    shingles,
)
from models.errors import CorpusError

TEXT = "menteri umumkan bantuan tunai cair besok pagi di seluruh balai desa tanpa syarat"


def example(text: str, part: str, **rest: object) -> Example:
    fields = {"source": "s", "outlet": "", "date": "", "field": "text", "kind": "other", **rest}
    return Example(id=f"{part}-{len(text)}", text=text, part=part, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def corpus(labelled_folder: Path) -> Corpus:
    return build_corpus(labelled_folder)


def test_every_part_has_examples_of_every_head(corpus: Corpus) -> None:
    for part in ("train", "valid", "test"):
        rows = corpus.part(part)
        for head in ("false", "technique", "malinformation", "tone"):
            assert any(getattr(e, head) is not None for e in rows), (part, head)


def test_the_test_lies_after_the_training(corpus: Corpus) -> None:
    dates = {
        part: [e.date for e in corpus.part(part) if e.source == "turnbackhoax_types"]
        for part in ("train", "valid", "test")
    }
    assert max(dates["train"]) < "2025-09-01" <= min(dates["valid"])
    assert max(dates["valid"]) < "2025-12-01" <= min(dates["test"])


def test_no_text_of_the_test_has_a_twin_in_training(corpus: Corpus) -> None:
    training = {e.text for e in corpus.part("train")}
    assert training.isdisjoint(e.text for e in corpus.part("test"))


def test_a_near_duplicate_of_a_test_post_leaves_training() -> None:
    twin = TEXT.replace("besok", "lusa")
    out = deduplicate(Corpus(examples=[example(twin, "train"), example(TEXT, "test")]))
    assert [e.part for e in out.examples] == ["test"]
    assert out.dropped["s", "near-duplicate of a later part"] == 1


def test_an_unlabelled_copy_of_a_falsehood_is_no_negative() -> None:
    rows = [example(TEXT + " ya", "train", false=0.0), example(TEXT, "train", false=1.0)]
    assert [e.false for e in deduplicate(Corpus(examples=rows)).examples] == [1.0]


def test_clusters_agree_with_exact_similarity() -> None:
    texts = [TEXT, TEXT + " segera", "harga cabai turun di pasar induk", TEXT[:20]]
    clusters = near_clusters(texts)
    for (i, a), (j, b) in pairwise(enumerate(texts)):
        x, y = shingles(a), shingles(b)
        assert (clusters[i] == clusters[j]) == (len(x & y) / len(x | y) >= NEAR)


def test_a_row_without_a_date_takes_no_side_of_a_time_split(tmp_path: Path) -> None:
    write(tmp_path, [{"text": TEXT, "label": "SALAH", "date": ""}])
    corpus = build_corpus(tmp_path)
    assert not any(e.source == "turnbackhoax_types" for e in corpus.examples)


def test_no_fact_checker_speaks_in_a_false_post(corpus: Corpus) -> None:
    assert leaks(corpus.examples) == []


def test_the_report_counts_what_there_is(corpus: Corpus) -> None:
    text = report(corpus)
    assert f"| {len(corpus.part('train'))} |" in text
    assert "Leak check" in text


def write(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "turnbackhoax_types.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_broken_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, [{"text": TEXT, "label": "SALAH", "date": "2025-01-01"}])
    with path.open("a", encoding="utf-8") as stream:
        stream.write("too,few\n")
    with pytest.raises(CorpusError, match=r"turnbackhoax_types\.csv, line 3: .*fields"):
        list(read_rows(path))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,words\n1,a\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column label and text"):
        list(read_rows(path))


def test_jsonl_is_read_like_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "label": "valid"}\n', encoding="utf-8")
    assert next(read_rows(path))["text"] == "a"
    path.write_text('{"text": \n', encoding="utf-8")
    with pytest.raises(CorpusError, match="line 1: not JSON"):
        list(read_rows(path))


def test_a_folder_without_any_known_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="LILIN_DATA_DIR"):
        build_corpus(tmp_path)
