from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fake import FakeScorer
from pipeline.errors import OutputError
from pipeline.feeds import open_feed
from pipeline.feeds.jsonlines import dump
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed
from pipeline.writers import default_output, output_format
from pipeline.writers.cells import LILIN_COLUMNS, neutralise, unique_names
from pipeline.writers.encoders import CsvRow

CSV = b'id,text,likes\n1,"usir, ""mereka""\nsekarang",-3\n2,=1+1,\n'


def scored(tmp_path: Path, content: bytes, name: str, output: str, **options: Any) -> Path:
    feed = tmp_path / name
    feed.write_bytes(content)
    target = tmp_path / output
    request = ScoreRequest(input=feed, output=target, overwrite=True, **options)
    score_feed(request, FakeScorer, stderr=io.StringIO())
    return target


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_output_is_the_input_with_seven_columns(tmp_path: Path) -> None:
    header, first, _ = read(scored(tmp_path, CSV, "a.csv", "b.csv"))
    assert header == ["id", "text", "likes", *LILIN_COLUMNS]
    assert first[:3] == ["1", 'usir, "mereka"\nsekarang', "-3"]
    assert first[4] == "malinformation"
    assert len(first[3].split(".")[1]) == 4


def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(tmp_path: Path) -> None:
    assert read(scored(tmp_path, CSV, "a.csv", "b.csv"))[2][1] == "'=1+1"


def test_raw_output_leaves_cells_alone(tmp_path: Path) -> None:
    assert read(scored(tmp_path, CSV, "a.csv", "b.csv", safe_cells=False))[2][1] == "=1+1"


@pytest.mark.parametrize("text", ["-3", "+62", "-1.5e3", "1", "", "a=b", "-5,5"])
def test_plain_numbers_and_plain_text_are_left_alone(text: str) -> None:
    assert neutralise(text) == text


@pytest.mark.parametrize("text", ["=x", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "-1+1|x", "＝x"])
def test_formulas_are_neutralised(text: str) -> None:
    assert neutralise(text) == "'" + text


def test_scoring_twice_replaces_our_columns(tmp_path: Path) -> None:
    once = scored(tmp_path, CSV, "a.csv", "b.csv", safe_cells=False)
    twice = scored(tmp_path, once.read_bytes(), "c.csv", "d.csv", safe_cells=False)
    assert twice.read_bytes() == once.read_bytes()


def test_json_lines_keep_their_source_as_it_stood(tmp_path: Path) -> None:
    line = b'{"n": 123456789012345678901234567890, "x": 1.50, "text" : "a"}'
    target = scored(tmp_path, line + b"\n", "a.jsonl", "b.jsonl")
    assert target.read_bytes().startswith(line[:-1] + b',"lilin_risk":')
    assert json.loads(target.read_bytes())["lilin_technique"] is None


def test_json_with_our_columns_gets_them_replaced(tmp_path: Path) -> None:
    line = b'{"lilin_risk":9,"text":"a"}\n'
    target = scored(tmp_path, line, "a.jsonl", "b.jsonl")
    assert target.read_bytes().count(b"lilin_risk") == 1


def test_json_in_a_table_has_every_column_that_any_row_has(tmp_path: Path) -> None:
    content = b'{"text":"a","n":1}\n{"text":"b","extra":{"k":[1]}}\n'
    rows = read(scored(tmp_path, content, "a.jsonl", "b.csv"))
    assert [row[:3] for row in rows] == [
        ["text", "n", "extra"],
        ["a", "1", ""],
        ["b", "", '{"k":[1]}'],
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": pa.array([1, 2, 3], pa.int16()),
            "text": ["usir", None, "b"],
            "tags": [["x"], [], None],
            "at": pa.array([1, 2, 3], pa.timestamp("ns")),
        }
    )
    source = io.BytesIO()
    pq.write_table(table, source)
    target = scored(tmp_path, source.getvalue(), "a.parquet", "b.parquet")
    result = pq.read_table(target)
    assert result.select(["n", "text", "tags", "at"]).equals(table.take([0, 2]))
    assert result.column_names[4:] == list(LILIN_COLUMNS)
    assert result.schema.field("lilin_risk").type == pa.float64()


def test_csv_becomes_parquet_and_json_lines(tmp_path: Path) -> None:
    parquet = pq.read_table(scored(tmp_path, CSV, "a.csv", "b.parquet")).to_pylist()
    lines = scored(tmp_path, CSV, "a.csv", "b.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == parquet


def test_a_semicolon_feed_with_its_mark_stays_one(tmp_path: Path) -> None:
    target = scored(tmp_path, b"\xef\xbb\xbfid;text\n1;a\n", "a.csv", "b.csv")
    assert target.read_bytes().startswith(b"\xef\xbb\xbfid;text;lilin_risk;")


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_compressed_output_is_read_back(tmp_path: Path, compression: str) -> None:
    target = scored(tmp_path, CSV, "a.csv", "b.csv" + compression, chunk_rows=1)
    with open_feed(target) as feed:
        assert len(list(feed)) == 2


@pytest.mark.parametrize(
    ("name", "format_", "expected"),
    [
        ("feed.csv", "csv", "feed.scored.csv"),
        ("feed.csv.gz", "csv", "feed.scored.csv.gz"),
        ("result.json", "json", "result.scored.jsonl"),
        ("chat.txt", "whatsapp", "chat.scored.csv"),
        ("a.b.parquet", "parquet", "a.b.scored.parquet"),
        ("feed", "csv", "feed.scored.csv"),
    ],
)
def test_the_default_output_stands_beside_the_feed(name: str, format_: str, expected: str) -> None:
    assert default_output(Path("x") / name, format_) == Path("x") / expected


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", "a.json"])
def test_an_output_of_no_known_format_is_refused(name: str) -> None:
    with pytest.raises(OutputError, match="no format"):
        output_format(Path(name), "csv")


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=5))
def test_any_cells_are_read_back_by_the_csv_module(cells: list[str]) -> None:
    line = CsvRow(",", safe=False).line(cells)
    assert next(csv.reader(io.StringIO(line, newline=""))) == cells


@given(st.lists(st.sampled_from(["a", "a.2", "b", ""]), max_size=6))
def test_repeated_names_become_different(names: list[str]) -> None:
    assert len(set(unique_names(tuple(names)))) == len(names)


def test_integers_of_any_size_are_written() -> None:
    assert dump({"n": 2**70}) == '{"n": 1180591620717411303424}'
