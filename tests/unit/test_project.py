"""The promises that the project's own files make to whoever reads them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from models.corpus import COLUMNS, read_sources
from models.labels import LABELS, TECHNIQUES
from service.cli import app

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.id.md")
TRAINING = "accelerate datasets matplotlib onnx rensa sklearn torch transformers wordfreq".split()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]
    return table


def requirements(extra: str | None = None) -> list[Requirement]:
    table = project()
    lines = table["optional-dependencies"][extra] if extra else table["dependencies"]
    return [Requirement(line) for line in lines]


def locked(name: str) -> dict[str, set[Version]]:
    versions: dict[str, set[Version]] = {}
    for line in read(f"requirements/{name}.lock").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line.split("#")[0].strip())
            (specifier,) = requirement.specifier
            key = canonicalize_name(requirement.name)
            versions.setdefault(key, set()).add(Version(specifier.version))
    return versions


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command of `lilin` that does something."""
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", None)
    if not children:
        yield path
        return
    for name, child in children.items():
        yield from commands(child, (*path, name))


def verbs() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*?## ", read("Makefile"), re.MULTILINE))


def code_in(markdown: str) -> list[str]:
    fenced = re.findall(r"^```\w*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return [line for block in fenced for line in block.splitlines()] + re.findall(
        r"`([^`]+)`", prose
    )


def project_files() -> list[Path]:
    git = shutil.which("git")
    assert git is not None, "these tests read the list of files from git: install it"
    listing = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    names = {name for name in listing.decode().split("\0") if name}
    return sorted(path for name in names if (path := ROOT / name).is_file())


@pytest.mark.parametrize("readme", READMES)
def test_every_lilin_command_in_a_readme_exists(readme: str) -> None:
    known = set(commands())
    for code in code_in(read(readme)):
        words = re.match(r"(?:\.venv/bin/)?lilin((?: [a-z][a-z-]*(?=\s|$))+)", code)
        if words:
            said = tuple(words[1].split())
            assert any(said[: len(k)] == k for k in known), f"{readme} names `lilin{words[1]}`"


@pytest.mark.parametrize("readme", READMES)
def test_every_make_verb_in_a_readme_exists(readme: str) -> None:
    said = {m[1] for code in code_in(read(readme)) if (m := re.match(r"make ([a-z-]+)", code))}
    assert said
    assert said <= verbs()


@pytest.mark.parametrize("readme", READMES)
def test_every_option_of_score_in_a_readme_exists(readme: str) -> None:
    score = typer.main.get_command(app).commands["score"]  # type: ignore[attr-defined]
    known = {name for parameter in score.params for name in parameter.opts} | {"--help"}
    said = {o for code in code_in(read(readme)) for o in re.findall(r"(?<!\S)--[a-z-]+", code)}
    assert said
    assert said <= known


def test_the_readme_names_every_command() -> None:
    text = read("README.md")
    missing = [" ".join(words) for words in commands() if f"`lilin {' '.join(words)}`" not in text]
    assert missing == []


@pytest.mark.parametrize("document", [*READMES, *(f"docs/{n}.md" for n in ("data-format",))])
def test_every_link_in_a_document_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", read(document))
    here = (ROOT / document).parent
    assert [link for link in links if "://" not in link and not (here / link).exists()] == []


def test_every_verb_of_the_makefile_is_phony() -> None:
    phony = re.search(r"^\.PHONY:(.*)$", read("Makefile"), re.MULTILINE)
    assert phony is not None
    assert verbs() <= set(phony[1].split())


def test_the_direct_dependencies_are_exactly_those_with_a_reason() -> None:
    rows = re.findall(r"^\| ([\w.-]+) \| (.+) \|$", read("docs/dependencies.md"), re.MULTILINE)
    reasons = {canonicalize_name(name): why for name, why in rows if name not in ("package", "---")}
    extras = (None, *project()["optional-dependencies"])
    named = {canonicalize_name(r.name) for extra in extras for r in requirements(extra)}
    assert set(reasons) == named
    assert all(len(why) > 10 for why in reasons.values())


def test_the_direct_runtime_dependencies_stay_few() -> None:
    assert len(requirements()) < 25


def test_every_runtime_dependency_is_imported() -> None:
    imported: set[str] = set()
    for folder in ("models", "pipeline", "service"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.split(".")[0])
    modules = packages_distributions()
    used = {canonicalize_name(d) for module in imported for d in modules.get(module, ())}
    assert {canonicalize_name(r.name) for r in requirements()} - used == set()


@pytest.mark.parametrize(
    ("lock", "extras"), [("run", ()), ("train", ("train",)), ("dev", ("train", "dev"))]
)
def test_a_lock_file_fits_the_project(lock: str, extras: tuple[str, ...]) -> None:
    versions = locked(lock)
    for requirement in [r for extra in (None, *extras) for r in requirements(extra)]:
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement.name} is not in {lock}.lock: run `make lock`"
        assert all(version in requirement.specifier for version in found)


def test_the_lock_files_agree_with_one_another() -> None:
    run, train, dev = locked("run"), locked("train"), locked("dev")
    assert run.items() <= train.items()
    assert train.items() <= dev.items()


def test_the_default_install_has_no_training_library() -> None:
    heavy = {canonicalize_name(r.name) for r in requirements("train")} - {"accelerate"}
    assert heavy.isdisjoint(locked("run"))
    assert not any(name.startswith(("nvidia", "cuda", "triton")) for name in locked("dev"))


@pytest.mark.parametrize("lock", ["run", "train", "dev"])
def test_a_lock_file_names_no_address(lock: str) -> None:
    text = read(f"requirements/{lock}.lock")
    assert re.search(r"://|--(?:index|extra-index|find-links)|@ ", text) is None


def test_the_scoring_path_loads_no_training_library() -> None:
    program = f"""
import importlib, pkgutil, sys
import models.scorer, pipeline, service.cli
for package in (pipeline, service):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", ".env")):  # alembic alone runs its env
            importlib.import_module(module.name)
print(*sorted(set(sys.modules) & set({TRAINING!r})))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == []


def test_the_help_text_loads_nothing_heavy() -> None:
    program = """
import sys
from service.cli import main
sys.argv = ["lilin", "--help"]
try:
    main()
except SystemExit:
    pass
print("loaded:", *sorted(set(sys.modules) & {"numpy", "onnxruntime", "pyarrow", "tokenizers"}))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "score" in result.stdout
    assert result.stdout.splitlines()[-1] == "loaded:"


def test_no_file_of_the_project_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(rb"/(?:root|work|opt|home|Users|var/folders)/\w")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in project_files()
        if (match := place.search(path.read_bytes()))
    ]
    assert found == []


def test_the_data_format_explains_every_column_and_key() -> None:
    explained = set(re.findall(r"`\"?([a-z_*]+)\"?`", read("docs/data-format.md")))
    table = read_sources()
    used = {key for source in table["sources"].values() for key in source}
    assert used | set(COLUMNS) | set(table["time"]) | set(TECHNIQUES) <= explained


def test_the_glossary_explains_the_terms_and_the_labels() -> None:
    text = read("docs/glossary.md")
    terms = "post feed score label narrative spread alert verdict moderator technique".split()
    assert [t for t in (*terms, "queue item") if f"| **{t}**" not in text] == []
    assert [name for name in (*LABELS, *TECHNIQUES) if f"| `{name}` |" not in text] == []


def test_the_licence_ships_whole() -> None:
    text = read("LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
