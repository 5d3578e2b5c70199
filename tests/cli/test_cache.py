"""`expand3d cache`: it shows, and removes where --force says so."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.data.cache_use import Use

OLD, NEW = "ab/" + "ab" * 16 + ".npy", "cd/" + "cd" * 16 + ".npy"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("EXPAND3D_CACHE", str(root))
    for name, size, days in ((OLD, 3000, 40), (NEW, 2000, 3)):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (time.time() - days * 86400,) * 2)
    return root


def test_it_shows_and_removes_nothing(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "5 kB" in shown and "40 days ago" in shown and "3 days ago" in shown
    assert main(["cache", "--older-than", "30d"]) == 0
    assert "1 entry, 3 kB, would be removed; add --force" in capsys.readouterr().out
    assert (cache / OLD).is_file()


def test_it_removes_with_force(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--keep-under", "2kB", "--force"]) == 0
    assert "removed 1 entry, 3 kB" in capsys.readouterr().out
    assert not (cache / OLD).exists() and (cache / NEW).is_file()
    use = Use.of(cache, [NEW])
    assert main(["cache", "--empty", "--force"]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    del use
    assert main(["cache", "--empty", "--force"]) == 0
    assert "removed 1 entry, 2 kB" in capsys.readouterr().out
    assert main(["cache"]) == 0
    assert "the cache is empty" in capsys.readouterr().out


def test_json(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use = Use.of(cache, [NEW])
    assert main(["cache", "--empty", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    kinds = {"clips": {"entries": 1, "bytes": 3000}}
    assert data["root"] == str(cache) and data["bytes"] == 5000 and data["removed"] is False
    assert data["chosen"] == {"entries": 1, "bytes": 3000, "kinds": kinds}
    assert data["in_use"]["bytes"] == 2000
    del use
    assert main(["cache", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["chosen"]["entries"] == data["in_use"]["entries"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--force"], "say what goes"),
        (["--empty", "--older-than", "3d"], "leave --older-than and --keep-under out"),
        (["--older-than", "soon"], "'soon' is not a duration"),
        (["--keep-under", "much"], "'much' is not a size"),
    ],
)
def test_mistakes(
    cache: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["cache", *words]) == 2
    assert says in capsys.readouterr().err
