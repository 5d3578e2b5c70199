"""The Python of README and docs runs as printed, and every name that they use is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import expand3d
from expand3d.core.plugins import EXECUTORS, FAMILIES, FORMATS, LAYOUTS, RESTRICTIONS, STRATEGIES
from expand3d.core.plugins import TASKS as TRAINING_TASKS
from expand3d.core.result import ClipScore, Training
from expand3d.report.study.view import load_view
from tests.helpers.at_once import train_by
from tests.helpers.made_videos import greys, write_video
from tests.helpers.study_config import without_timing

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- [^\n]* -->\n)?```python\n(.*?)```", flags=re.DOTALL)
#: Groups of entry points, which look like modules.
GROUPS = {
    kind.group
    for kind in (EXECUTORS, FAMILIES, FORMATS, LAYOUTS, RESTRICTIONS, STRATEGIES, TRAINING_TASKS)
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The page's blocks of Python, each with the mark above it."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def execute(text: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(compile(text, "a page", "exec"), scope)
    return scope


def test_the_example_of_a_network_runs(capsys: pytest.CaptureFixture[str]) -> None:
    scope = execute(blocks(README)[0][1])
    # X3D-XS: widths 24 to 192, blocks 3, 5, 11, 7, 0.605257 GMACs. What is done once per clip is
    # lin5 (432 x 2048), the classifier (2048 x 400) and SE (158,976); the rest grows by 6 / 4.
    once = 432 * 2048 + 158_976
    macs = (605_256_512 - once - 2048 * 400) * 6 / 4 + once + 2048 * 10
    assert round(macs / 1e9, 3) == 0.906
    assert capsys.readouterr().out == "(24, 48, 96, 192) (3, 5, 11, 7) 0.906 GMACs\n"
    import torch

    network = scope["network"]
    assert isinstance(network, torch.nn.Module)
    assert network.eval()(torch.zeros(1, 3, 6, 64, 64)).shape == (1, 10)


def test_the_example_of_a_study_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With trainings that answer at once: the larger the network, the surer of the right class."""
    for label, name in enumerate(("run", "walk")):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(10):
            level = 40 + 80 * label + number
            file = tmp_path / "videos" / name / f"{number}.mp4"
            write_video(file, greys(range(level, level + 40)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))

    def train(plan: Any, store: Any, *, eval_indices: Any, **options: Any) -> Training:
        sure = 1 / (1 + plan.crop * plan.frames)
        scores = tuple(ClipScore(store.keys[i], store.labels[i], 0, sure) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, 1.0, 0)

    train_by(train, monkeypatch)
    without_timing(monkeypatch)
    execute(blocks(README)[1][1])
    frontier = load_view("from-python").frontier
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(frontier) >= 1
    assert printed[0] == f"{frontier[0].candidate.macs} 100.0%"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_by_a_test(page: Path) -> None:
    """README's by the tests above, the marked ones of a guide by `tests/test_extending.py`."""
    found = blocks(page)
    if page == README:
        assert len(found) == 2
    elif page.name == "extending.md":
        assert len(found) == 9
        assert all(re.match(r"<!-- (example|run)\b", mark) for mark, _ in found)
    else:
        for _, text in found:
            execute(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_that_a_page_uses_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for full in sorted(set(re.findall(r"(?<![\w./-])expand3d((?:\.\w+)+)", text))):
        if f"expand3d{full}" in GROUPS or full == ".md":
            continue
        name, *rest = full.removeprefix(".").split(".")
        if not rest:
            assert name in expand3d.__all__ or importlib.import_module(f"expand3d.{name}")
            continue
        assert found(f"expand3d{full}"), f"{page.name} uses expand3d{full}"


def found(full: str) -> bool:
    """True where this is a module, or an attribute of one."""
    try:
        importlib.import_module(full)
    except ImportError:
        module, _, attribute = full.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True
