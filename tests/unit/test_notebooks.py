"""The notebooks: stored clean, and run from top to bottom on small data."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.name for path in NOTEBOOKS]
MAX_CODE_LINES = 30
"""A longer cell has logic of its own, which belongs into a module with tests."""


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_stored_without_output(path: Path) -> None:
    assert [c.id for c in code_cells(path) if c.outputs or c.execution_count is not None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_stays_thin(path: Path) -> None:
    cells = code_cells(path)
    assert [c.id for c in cells if len(c.source.splitlines()) > MAX_CODE_LINES] == []
    assert [c.id for c in cells if "def " in c.source or "class " in c.source] == []


@pytest.mark.train
def test_the_notebooks_run_one_after_another_and_draw(
    labelled_folder: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("LILIN_DATA_DIR", labelled_folder),
        ("LILIN_BASE", tiny_base),
        ("LILIN_RUN_DIR", tmp_path / "run"),
        ("LILIN_EPOCHS", "1"),
        ("MPLBACKEND", "module://matplotlib_inline.backend_inline"),
        ("IPYTHONDIR", tmp_path / "ipython"),
        ("PYTHONPATH", os.pathsep.join((str(FOLDER.parent), os.environ.get("PYTHONPATH", "")))),
    ):
        monkeypatch.setenv(name, str(value))
    assert NAMES == [
        "01_data.ipynb",
        "02_training.ipynb",
        "03_errors.ipynb",
        "04_replay.ipynb",
    ]
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}).execute()
        outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
        assert any("image/png" in out.get("data", {}) for out in outputs), path.name
