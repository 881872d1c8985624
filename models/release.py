"""The release folder: the files of the shipped model, and the check that they are unchanged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from models.errors import ReleaseError

RELEASE: Final = Path(__file__).with_name("release")
MANIFEST: Final = "manifest.json"
FILES: Final = (
    "model.onnx",
    "tokenizer.json",
    "labels.json",
    "thresholds.json",
    "likeness.npz",
    "card.md",
)
_UNSCORED: Final = ("card.md", "likeness.npz")
"""Files on which no score depends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A verified release folder.

    ``thresholds`` is the content of thresholds.json; ``version`` is the first 12 digits of the
    SHA-256 over the manifest's sums, so it names the model and its calibration.
    """

    folder: Path
    version: str
    thresholds: dict[str, Any]

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.folder / "model.onnx"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, in the format of the Rust library."""
        return self.folder / "tokenizer.json"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def version_of(sums: dict[str, str]) -> str:
    """Return the release's version from its sums; what no score depends on is not part of it."""
    scored = sorted((name, digest) for name, digest in sums.items() if name not in _UNSCORED)
    return hashlib.sha256(repr(scored).encode()).hexdigest()[:12]


def write_manifest(folder: Path) -> str:
    """Write manifest.json over the files of the folder and return the version."""
    sums = {name: sha256(folder / name) for name in FILES}
    version = version_of(sums)
    manifest = {"version": version, "sha256": sums}
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
    return version


def open_release(folder: Path | None = None) -> Release:
    """Return the release in ``folder`` (default: the shipped one) after checking every sum.

    Raises:
        ReleaseError: a file is missing, or differs from the manifest; the message names it.
    """
    folder = folder or RELEASE
    manifest = folder / MANIFEST
    try:
        sums = orjson.loads(manifest.read_bytes())["sha256"]
    except OSError:
        raise ReleaseError(
            f"no trained model in {folder}: {MANIFEST} is missing; check the folder's name, "
            "or get the shipped model back with `git checkout models/release`"
        ) from None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ReleaseError(f"{manifest} is not a manifest of a Lilin release") from None
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise ReleaseError(f"{path} is missing; the release must hold {', '.join(FILES)}")
        if sums.get(name) != sha256(path):
            raise ReleaseError(
                f"{path} is not the file that was released (its SHA-256 differs from {MANIFEST}); "
                "fetch the release again, nothing was scored"
            )
    thresholds = orjson.loads((folder / "thresholds.json").read_bytes())
    return Release(folder=folder, version=version_of(sums), thresholds=thresholds)
