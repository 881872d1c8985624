from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import CannotResume, OutputError
from pipeline.workplace import Workplace, part_folder, read_state


def chunk(place: Workplace, data: bytes) -> None:
    place.append(data=data, rejects=b"", memory=b"", records=1, next_generation=False, summary={})


def test_bytes_after_the_last_state_are_cut_off(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "o.csv", {"model": "a"})
    place.start()
    chunk(place, b"satu\n")
    place.close()
    with (part_folder(tmp_path / "o.csv") / "data").open("ab") as file:
        file.write(b"setengah bar")
    again = Workplace(tmp_path / "o.csv", {"model": "a"})
    again.resume()
    chunk(again, b"dua\n")
    again.finish(None, keep_data=True)
    assert (tmp_path / "o.csv").read_bytes() == b"satu\ndua\n"


def test_fewer_bytes_than_the_state_says_are_never_gone_on_with(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "o.csv", {})
    place.start()
    chunk(place, b"satu\n")
    place.close()
    (part_folder(tmp_path / "o.csv") / "data").write_bytes(b"sa")
    with pytest.raises(CannotResume, match=r"damaged.*--overwrite"):
        place.resume()
    place.close()


@pytest.mark.parametrize(
    "saved", [b"", b"{", b"[]", b'{"identity":{}}', b'{"identity":1,"state":2}']
)
def test_a_state_that_makes_no_sense_is_none(tmp_path: Path, saved: bytes) -> None:
    folder = part_folder(tmp_path / "o.csv")
    folder.mkdir()
    (folder / "state.json").write_bytes(saved)
    assert read_state(tmp_path / "o.csv") is None


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    part_folder(tmp_path / "o.csv").touch()
    with pytest.raises(OutputError, match=r"o\.csv: cannot be written"):
        Workplace(tmp_path / "o.csv", {}).start()
