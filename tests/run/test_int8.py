"""A winner in 8 bits: calibrated on training clips, compared with floats on validation clips."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ExportError
from expand3d.interop import onnx, onnx_int8
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from tests.helpers.study_config import with_short_looks

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [False, True])
def test_a_winner_in_8_bits(
    config: StudyConfig,
    tmp_path: Path,
    pixels: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_short_looks(monkeypatch)
    short = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 2}
    run_study(dataclasses.replace(config, budget="0.021G", final=True, final_recipe=short))
    capsys.readouterr()
    out = tmp_path / "out"
    words = ["export", "tiny", "--root", config.root, "--to", "onnx", "--out", str(out)]
    more = ["--pixels"] if pixels else []
    assert main([*words, "--int8", "--threads", "1", "--no-verify", *more]) == 0
    told = capsys.readouterr().out
    assert "the last training saw them too" in told
    assert "float32: top-1" in told and "int8: top-1" in told and "1 threads" in told
    report = json.loads((out / "int8.json").read_text(encoding="utf-8"))
    assert report["before"]["clips"] == report["after"]["clips"] > 0 < report["calibrated"]
    assert report["before"]["latency"]["setting"].startswith("float32, onnxruntime")
    floats, small = (out / name for name in (onnx.MODEL, onnx_int8.MODEL))
    # A weight is a byte, and every channel has a scale.
    assert small.stat().st_size < 0.5 * floats.stat().st_size
    sessions = [onnx.session(file) for file in (floats, small)]
    said = [each.get_modelmeta().custom_metadata_map for each in sessions]
    assert said[1]["labels"] == said[0]["labels"] and said[1]["precision"].startswith("int8")
    (first,) = sessions[0].get_inputs()
    shape = [3, *first.shape[1:]]
    noise = np.random.RandomState(0)
    clip = noise.randint(0, 255, shape).astype(np.uint8) if pixels else noise.randn(*shape)
    fed = {first.name: clip if pixels else clip.astype(np.float32)}
    a, b = (each.run(None, fed)[0] for each in sessions)
    assert a.shape == b.shape and not np.array_equal(a, b)
    assert np.abs(a - b).max() < 0.5 * max(np.abs(a).max(), 0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "json", "--int8", "x"], "--to json has no --int8; it is for onnx"),
        (["--to", "onnx", "--int8", "--preset", "x3d-xs"], "a preset has none"),
        (["--to", "onnx", "--threads", "2", "x"], "--threads are those of --int8"),
    ],
)
def test_what_has_no_8_bits_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_file_without_kernels_in_8_bits_is_refused(tmp_path: Path) -> None:
    """A graph of floats stands for one whose operators the runtime does not join."""
    import onnx as library
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1, 1], [2.0])
    clip = helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["n", 1, 2, 4, 4])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1, 2, 4, 4])
    node = helper.make_node("Conv", ["clip", "w"], ["logits"])
    graph = helper.make_graph([node], "g", [clip], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    library.save(model, tmp_path / "floats.onnx")
    with pytest.raises(ExportError, match=r"no kernels in 8 bits for 1 of 1 convolutions"):
        onnx_int8.refuse_without_kernels(tmp_path / "floats.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="--int8: onnxruntime here cannot run it"):
        onnx_int8.refuse_without_kernels(tmp_path / "broken.onnx")
