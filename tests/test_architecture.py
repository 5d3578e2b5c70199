"""The house: imports go down only and never in a circle; families are named in families/ only."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import expand3d
from expand3d.core.plugins import FAMILIES, FORMATS

ROOT = Path(expand3d.__file__).parent

#: From the ground up: a module imports from its own folder and from layers below, and the folders
#: of one layer may not know each other where STRANGERS says so.
LEVELS = (
    ("core",),
    ("networks", "data", "study"),
    ("cost", "training", "interop"),
    ("measure",),
    ("search",),
    ("execute", "report"),
    ("run",),
    ("api", "cli", "__init__", "__main__"),
)
#: On one level or near, but nothing to each other: who proposes, who trains, who reads.
STRANGERS = ({"search", "execute"}, {"execute", "report"}, {"run", "report"})
#: The only files beside the folders.
BESIDE = {"__init__", "__main__", "api"}
#: Where a family may be called by its name, and why.
FAMILIAR = {
    "core.plugins": "the table of all that can be named",
    "networks": "its home",
    "interop": "its names in other codebases",
    "search.replay": "re-enacts the paper of one family",
    "cli.replay": "the same, as a command",
    "study.sections": "the default of the key `family`; no family can be asked at that level",
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module's syntax tree by its name below the package; a package has its own name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@functools.cache
def imports(name: str) -> tuple[str, ...]:
    """The package's modules that `name` imports, inside functions and for types too."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in wanted:
            top, _, inner = full.partition(".")
            if top != "expand3d":
                continue
            while inner and inner not in modules():  # from a.b import name
                inner = inner.rpartition(".")[0]
            yield inner or "__init__"


def level(name: str) -> int:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        for number, prefixes in enumerate(LEVELS):
            if ".".join(parts[:end]) in prefixes:
                return number
    raise AssertionError(f"{name} stands on no level: add it to LEVELS")


def test_imports_go_down_only() -> None:
    up = [(name, to) for name in modules() for to in imports(name) if level(to) > level(name)]
    assert not up, "imports upward"


def test_strangers_do_not_import_each_other() -> None:
    known = []
    for name in modules():
        package = name.split(".")[0]
        others = set().union(*(group - {package} for group in STRANGERS if package in group))
        known += [(name, other) for other in imports(name) if other.split(".")[0] in others]
    assert not known


def test_nothing_is_loose_beside_the_folders() -> None:
    assert {name for name in modules() if not (ROOT / name.split(".")[0]).is_dir()} == BESIDE


def test_imports_make_no_circle() -> None:
    arrows = {name: sorted(set(imports(name)) - {name}) for name in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"circle: {' > '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for other in arrows[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_no_family_is_named_outside_its_place() -> None:
    own = {row.target.partition(":")[0].removeprefix("expand3d.") for row in FAMILIES.values()}
    elsewhere = [name for name in modules() if not {name, name.split(".")[0]} & set(FAMILIAR)]
    assert elsewhere
    for name in elsewhere:
        literals = {
            node.value
            for node in ast.walk(modules()[name])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not literals & set(FAMILIES), f"{name} calls a family by its name"
        known = {other for other in imports(name) if any(other.startswith(path) for path in own)}
        assert not known, f"{name} imports a family"


def test_a_module_fits_in_a_head() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in ROOT.rglob("*.py")
    }
    assert lengths and not {path for path, lines in lengths.items() if lines > 400}


def test_the_table_reads_what_is_there() -> None:
    """The helpers see the arrows that are known by eye, so that the tests above can fail."""
    assert {"networks.family", "networks.operators", "core.genotype"} <= set(
        imports("networks.families.x3d")
    )
    assert "networks.families.x3d_net" in set(imports("networks.families.x3d"))  # inside a function
    assert level("core.trial") < level("study.record") < level("training.loop") < level("cli.main")


def test_no_codebase_is_named_outside_its_place() -> None:
    """An export target that rebuilds networks stands in its room, its row and the families."""
    targets = {target for target, row in FORMATS.items() if row.rebuilds}
    assert targets
    homes = ("interop", "networks.families", "networks.weights", "core.plugins")
    elsewhere = [name for name in modules() if not name.startswith(homes)]
    for name in elsewhere:
        texts = [
            node.value
            for node in ast.walk(modules()[name])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        docstring = ast.get_docstring(modules()[name], clean=False)
        names = {
            target for target in targets for text in texts if text != docstring and target in text
        }
        assert not names, f"{name} names {names}"
