"""The pages and docstrings are true to the tree: paths exist, first lines say what comes back."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = sorted(
    path for folder in ("expand3d", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
#: A path of this project's: folders and a file, as pages and docstrings write them.
PATH = re.compile(r"(?<![\w/.:-])(?:\w+/)+\w+\.(?:py|c|md|toml)\b")
#: Folders that a path may be given from.
FROM = (ROOT, ROOT / "expand3d")
#: Paths in other codebases, which pages cite as sources.
ELSEWHERE = {"layers/utils.py", "models/x3d.py", "docs/source/model_zoo.md"}
QUESTIONS = re.compile(r"\s*(What|How|Whether|Why|Where|Which|When|Who)\b")


def missing(text: str) -> set[str]:
    """The paths in `text` that lead nowhere."""
    return {
        path
        for path in set(PATH.findall(text)) - ELSEWHERE
        if not any((folder / path).is_file() for folder in FROM)
    }


@functools.cache
def docstrings(path: Path) -> list[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes))
    return [text for text in found if text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert not missing(text)
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_path_that_a_docstring_names_exists() -> None:
    named = {str(p.relative_to(ROOT)): missing("\n".join(docstrings(p))) for p in SOURCES}
    assert not {path: names for path, names in named.items() if names}


def test_paths_are_seen() -> None:
    text = "in `networks/family.py` and no/such.py, of https://host/a/b.py"
    assert missing(text) == {"no/such.py"}


def test_a_docstring_says_what_comes_back_not_what_is_asked() -> None:
    asked = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in SOURCES
        for text in docstrings(path)
        if QUESTIONS.match(text)
    ]
    assert not asked, "begin with what comes back, and its unit"
