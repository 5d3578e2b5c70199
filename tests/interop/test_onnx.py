"""ONNX files in ONNX Runtime: every family's logits, any number of clips, pixels, metadata."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype
from expand3d.core.plugins import FAMILIES, FORMATS
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.random_weights import filling, randomised
from expand3d.interop.runnable import input_names
from expand3d.networks import get_family
from expand3d.networks.example import example, example_views
from tests.helpers.networks import SHALLOW, exported, grown

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")


def of(genotype: Genotype, folder: Path) -> ExportedNetwork:
    """An export of the network with weights that leave no tensor as it was made."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=5)
    weights = folder / "weights.safetensors"
    save_file(randomised(family.build(plan).state_dict()), weights)
    classes = tuple("abcde")
    return ExportedNetwork("heron", 3, genotype, plan, {}, classes=classes, weights=weights)


def run(file: Path, *inputs: torch.Tensor) -> torch.Tensor:
    """Logits, by a session made by hand."""
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    fed = {name: np.ascontiguousarray(x) for name, x in zip(names, inputs, strict=True)}
    (found,) = session.run(None, fed)
    return torch.from_numpy(found)


def assert_agrees(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """To 1e-4 of the largest logit, or 1e-4 where that is below 1."""
    assert got.shape == wanted.shape and wanted.std() > 1e-3
    assert (got - wanted).abs().max() <= 1e-4 * max(1.0, float(wanted.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("size", ["base", "grown"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_logits_agree_for_any_number_of_clips(
    family: str, size: str, tmp_path: Path
) -> None:
    genotype = get_family(family).base if size == "base" else grown(family)
    network = of(genotype, tmp_path)
    export(network, target="onnx", out=tmp_path / "out")
    ours = network.build()
    for clips in (1, 3):
        batch = example(network.plan, clips)
        with torch.no_grad():
            assert_agrees(run(tmp_path / "out" / "model.onnx", *batch), ours(*batch))


@pytest.mark.parametrize("family", ["x3d", pytest.param("fusion", marks=pytest.mark.slow)])
def test_pixels_are_normalised_in_the_graph(family: str, tmp_path: Path) -> None:
    """Bytes as decoders give them; the expected numbers are spelled out here."""
    network = of(SHALLOW if family == "x3d" else get_family(family).base, tmp_path)
    export(network, target="onnx", out=tmp_path / "out", options={"pixels": True})
    views = example_views(network.plan, 2)
    rgb = (views[0].movedim(4, 1).float() / 255 - 0.45) / 0.225
    flows = [(view.movedim(4, 1).float() - 128) * 20 / 127 for view in views[1:]]
    assert network.plan.kinds == ("rgb", "flow")[: len(views)]
    with torch.no_grad():
        wanted = network.build()(rgb, *flows)
    assert_agrees(run(tmp_path / "out" / "model.onnx", *views), wanted)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    network = exported(tmp_path, SHALLOW)
    export(network, target="onnx", out=tmp_path / "out", options={"opset": 18})
    model = onnx.load(str(tmp_path / "out" / "model.onnx"))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    said = {each.key: each.value for each in model.metadata_props}
    assert json.loads(said["labels"]) == ["a", "b", "c", "d", 'it\'s "e"', "f"]
    assert json.loads(said["inputs"])["clip"] == {
        "kind": "rgb",
        "pictures": 2,
        "segments": 1,
        "stack": 1,
        "stride": 7,
        "crop": 48,
    }
    assert "0.45) / 0.225" in said["input_format"] and said["digest"] == network.plan.digest
    (clip,) = model.graph.input
    sides = [each.dim_param or each.dim_value for each in clip.type.tensor_type.shape.dim]
    assert (clip.name, sides) == ("clip", ["batch", 3, 2, 48, 48])
    assert [each.name for each in model.graph.output] == ["logits"]
    assert str(Path.cwd()).encode() not in (tmp_path / "out" / "model.onnx").read_bytes()


def test_inputs_are_named_by_their_kind() -> None:
    family = get_family("twostream")
    assert input_names(family.resolve(family.base)) == ["rgb", "centred_flow"]
    plan = get_family("x3d").resolve(get_family("x3d").base)
    assert input_names(plan) == ["clip"]


@pytest.mark.parametrize(("opset", "nearest"), [(17, 18), (99, 24)])
def test_an_opset_that_would_not_be_honoured_is_refused(
    opset: int, nearest: int, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=f"opset = {opset} is outside.* nearest is {nearest}"):
        export(exported(tmp_path), target="onnx", out=tmp_path / "o", options={"opset": opset})
    assert not (tmp_path / "o").exists()


def test_without_its_packages_the_target_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dataclasses.replace(FORMATS["onnx"], needs=("onnx", "onnx_that_is_nowhere"))
    monkeypatch.setitem(FORMATS.rows, "onnx", row)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"needs onnx_that_is_nowhere: pip install 'expand3d\["):
        export(exported(tmp_path), target="onnx", out=tmp_path / "o")


def test_random_weights_are_a_function_of_the_name() -> None:
    """The numbers of a bias whose beginning is written down elsewhere."""
    bias = filling("s1.pathway0_stem.bn.bias", (24,)) / 0.3
    assert np.allclose(bias[:3], [-0.18192998, -1.82324784, 0.52832652])
    plan = dataclasses.replace(get_family("x3d").resolve(get_family("x3d").base), num_classes=3)
    state = get_family("x3d").build(plan).state_dict()
    made = randomised(state)
    assert {k: v.shape for k, v in made.items()} == {k: v.shape for k, v in state.items()}
    assert min(float(v.min()) for k, v in made.items() if k.endswith("running_var")) >= 1
