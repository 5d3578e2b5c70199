"""Target `openvino`: OpenVINO's own format, made of the ONNX file, in float32."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ExportError
from expand3d.interop import json_folder, onnx
from expand3d.interop.card import CARD, runtime_card
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import Verified, named, worst

if TYPE_CHECKING:
    from torch import Tensor, nn

    from expand3d.core.genotype import Plan

MODEL = "model.xml"
CODE = """
model = openvino.Core().compile_model("model.xml", "CPU")
logits = model(inputs)[model.output(0)]
"""


def write(network: ExportedNetwork, folder: Path, *, pixels: bool = False) -> None:
    """Write model.xml, model.bin and network.json; ExportError without weights."""
    if network.weights is None:
        raise ExportError(
            f"--to openvino writes trained networks, and {network.title} has no weights"
        )
    said = onnx.metadata_of(network, pixels=pixels)
    write_model(network.build(), network.plan, folder / MODEL, pixels=pixels, metadata=said)
    json_folder.write_description(network, folder, weights=None)
    text = runtime_card(network, "OpenVINO", said["input_format"], CODE)
    (folder / CARD).write_text(text, encoding="utf-8")


def write_model(
    module: nn.Module,
    plan: Plan,
    file: Path,
    *,
    pixels: bool = False,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a built network as `file` and the .bin beside it."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="expand3d-openvino-") as scratch:
        between = Path(scratch) / onnx.MODEL
        onnx.write_model(module, plan, between, pixels=pixels)
        model = openvino.convert_model(between)
        for key, value in sorted((metadata or {}).items()):
            model.set_rt_info(value, ["expand3d", key])
        model.set_friendly_name("expand3d")
        try:
            openvino.save_model(model, file, compress_to_fp16=False)
        except RuntimeError as error:
            if "iostream" not in str(error):
                raise
            raise OSError(errno.ENOSPC, "too large for the disk") from error


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """OpenVINO's logits of the written files, and of the same network with random weights."""
    from expand3d.interop.random_weights import randomised
    from expand3d.interop.runnable import Runnable

    pixels, run = compiled(folder / MODEL)
    whole = Runnable(network.build(), network.plan, pixels=pixels)
    found = [Verified(named("openvino"), "exported", worst(run, whole))]
    whole.load_state_dict(randomised(whole.state_dict()))
    with tempfile.TemporaryDirectory(prefix="expand3d-openvino-") as scratch:
        again = Path(scratch) / MODEL
        write_model(whole.network, network.plan, again, pixels=pixels)
        apart = worst(compiled(again)[1], whole)
    return [*found, Verified(named("openvino"), "randomised", apart)]


def compiled(
    file: Path, settings: Mapping[str, Any] | None = None
) -> tuple[bool, Callable[..., Tensor]]:
    """True where the file reads pixels, and a function from inputs to logits in float32.

    `settings` are properties of OpenVINO's CPU beside the precision.
    """
    import openvino
    import torch

    properties = {"INFERENCE_PRECISION_HINT": "f32", **(settings or {})}
    model = openvino.Core().compile_model(file, "CPU", properties)

    def run(*clips: Tensor) -> Tensor:
        found = model([clip.numpy() for clip in clips])
        return torch.from_numpy(found[model.output(0)].copy())

    return str(model.input(0).get_element_type().get_type_name()) == "u8", run
