"""Files of weights that are damaged, of another network, or hold code: one line that names them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from expand3d.cli.main import main
from tests.helpers.exported import exported
from tests.helpers.made_videos import write_data_set

ON = ["--threads", "1", "--device", "cpu"]


class Code:
    """A pickle that makes a file named RAN where somebody loads it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("RAN",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    exported(folder / "net")
    write_data_set(folder / "videos", clips=12)
    return folder


def garbage(file: Path) -> None:
    file.write_bytes(b"nonsense")


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def code(file: Path) -> None:
    torch.save({"model_state": Code()}, file)


def one_less(file: Path) -> None:
    state = load_file(file)
    del state["head.fc.bias"]
    save_file(state, file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (garbage, "is no file of weights"),
        (half, "is no file of weights"),
        (code, "is no file of weights"),
        (one_less, "1 missing: head.fc.bias"),
        (Path.unlink, "which are not beside it"),
    ],
)
def test_each_command_names_the_file(
    spoil: Any,
    said: str,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPAND3D_CACHE", "cache")
    shutil.copytree(made / "net", "net")
    spoil(Path("net/weights.safetensors"))
    data = ["--data", str(made / "videos" / "manifest.csv")]
    video = str(made / "videos" / "clip0.mp4")
    train = ["train", str(made / "net"), *data, "--init", "./net", "--out", "out"]
    for words in (["eval", "./net", *data], ["predict", "./net", video], train):
        assert main([*words, *ON]) == 2
        error = capsys.readouterr().err.splitlines()
        assert "weights.safetensors" in error[-1] and said in error[-1]
        assert len(error) == 1
    assert not Path("RAN").exists() and not Path("out").exists() and not Path("cache").exists()


def test_a_bare_file_of_weights_is_for_import(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code(Path("evil.pth"))
    video = str(made / "videos" / "clip0.mp4")
    for words in (["predict", "evil.pth", video], ["predict", "./evil.pth", video]):
        assert main([*words, *ON]) == 2
        assert "with expand3d import" in capsys.readouterr().err
    assert main(["import", "evil.pth", "--preset", "x3d-xs", "--out", "out"]) == 2
    assert "holds more than weights" in capsys.readouterr().err
    assert not Path("RAN").exists()
