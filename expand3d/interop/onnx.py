"""Target `onnx`: one file for ONNX Runtime and its like, weights inside, any number of clips.

The graph goes from `clip` (one input per kind of picture) to `logits`. It reads normalised floats,
or with the option `pixels` the decoded bytes. Labels and all that a caller has to know of the clip
are the file's metadata. network.json beside it is the description that the json target writes.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ExportError
from expand3d.interop import json_folder
from expand3d.interop.card import CARD, runtime_card
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import Verified, named, worst

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

    from expand3d.core.genotype import Plan

MODEL = "model.onnx"
OPSET = 20
CODE = """
session = onnxruntime.InferenceSession("model.onnx")
names = [each.name for each in session.get_inputs()]
logits = session.run(["logits"], dict(zip(names, inputs)))[0]
labels = session.get_modelmeta().custom_metadata_map["labels"]
"""
#: The exporter writes these; it takes an older number and gives a newer file.
OPSETS = range(18, 25)


def write(
    network: ExportedNetwork, folder: Path, *, opset: int = OPSET, pixels: bool = False
) -> None:
    """Write model.onnx and network.json; ExportError without weights or the exporter's packages."""
    if network.weights is None:
        raise ExportError(f"--to onnx writes trained networks, and {network.title} has no weights")
    said = metadata_of(network, pixels=pixels)
    write_model(
        network.build(),
        network.plan,
        folder / MODEL,
        opset=opset,
        pixels=pixels,
        metadata=said,
    )
    json_folder.write_description(network, folder, weights=None)
    text = runtime_card(network, f"ONNX Runtime (opset {opset})", said["input_format"], CODE)
    (folder / CARD).write_text(text, encoding="utf-8")


def write_model(
    module: nn.Module,
    plan: Plan,
    file: Path,
    *,
    opset: int = OPSET,
    pixels: bool = False,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a built network as an ONNX file for any number of clips."""
    import torch

    from expand3d.interop.runnable import EXAMPLE, Runnable, input_names

    if opset not in OPSETS:
        nearest = min(max(opset, OPSETS[0]), OPSETS[-1])
        raise ExportError(
            f"opset = {opset} is outside {OPSETS[0]} to {OPSETS[-1]}; the nearest is {nearest}"
        )
    whole = Runnable(module.cpu(), plan, pixels=pixels)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            whole,
            whole.clips(EXAMPLE),
            input_names=input_names(plan),
            output_names=["logits"],
            opset_version=opset,
            dynamic_shapes=whole.batches,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:  # where in whose source each line stands
        del node.metadata_props[:]
    proto.graph.doc_string = ""
    for key, value in sorted((metadata or {}).items()):
        proto.metadata_props.add(key=key, value=value)
    file.write_bytes(proto.SerializeToString(deterministic=True))


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """ONNX Runtime's logits of the written file, and of the same network with random weights."""
    from expand3d.interop.random_weights import randomised
    from expand3d.interop.runnable import Runnable

    file = folder / MODEL
    pixels = reads_pixels(file)
    whole = Runnable(network.build(), network.plan, pixels=pixels)
    by = named("onnxruntime")
    found = [Verified(by, "exported", worst(partial(logits, file), whole))]
    whole.load_state_dict(randomised(whole.state_dict()))
    with tempfile.TemporaryDirectory(prefix="expand3d-onnx-") as scratch:
        again = Path(scratch) / MODEL
        write_model(whole.network, network.plan, again, pixels=pixels)
        return [*found, Verified(by, "randomised", worst(partial(logits, again), whole))]


def reads_pixels(file: Path) -> bool:
    """True where the file's inputs are decoded bytes."""
    kind: str = session(file).get_inputs()[0].type
    return kind == "tensor(uint8)"


def session(file: Path, *, threads: int = 0, optimised: Path | None = None) -> InferenceSession:
    """ONNX Runtime on the CPU with `file` loaded; 0 threads are its own choice.

    `optimised` receives the graph that it runs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def fed(session: InferenceSession, clips: Sequence[Tensor]) -> dict[str, Any]:
    """The clips under the names of the inputs."""
    names = [each.name for each in session.get_inputs()]
    return {name: clip.numpy() for name, clip in zip(names, clips, strict=True)}


def logits(file: Path, *clips: Tensor, threads: int = 0) -> Tensor:
    """N x classes, as ONNX Runtime computes them on the CPU; 0 threads are its own choice."""
    import torch

    made = session(file, threads=threads)
    return torch.from_numpy(made.run(["logits"], fed(made, clips))[0])


def metadata_of(network: ExportedNetwork, *, pixels: bool) -> dict[str, str]:
    """The facts for a caller: labels, the clip, how its numbers are made, and the origin."""
    from expand3d.data.crops import MEAN, STD
    from expand3d.interop.runnable import input_names

    plan = network.plan
    inputs: dict[str, Any] = {
        name: {
            "kind": each.kind,
            "pictures": each.pictures,
            "segments": each.segments,
            "stack": each.stack,
            "stride": each.stride,
            "crop": each.crop,
        }
        for name, each in zip(input_names(plan), plan.inputs, strict=True)
    }
    bytes_or_floats = (
        "uint8 N x T x H x W x C; scale, mean and std are part of the graph"
        if pixels
        else f"float32 N x C x T x H x W; a frame's bytes are (x / 255 - {MEAN}) / {STD}"
    )
    # How optical flow was made, where it reads any.
    flow = {"flow": json.dumps(made)} if (made := network.provenance.get("flow")) else {}
    return {
        **flow,
        "labels": json.dumps(list(network.classes), ensure_ascii=False),
        "inputs": json.dumps(inputs),
        "input_format": bytes_or_floats,
        "output": "logits, N x labels; softmax makes them probabilities",
        "target_fps": json.dumps(network.target_fps),
        "plan": json.dumps(plan.to_json()),
        "digest": plan.digest,
        "made_by": f"expand3d, {network.title}",
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own insides; errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
