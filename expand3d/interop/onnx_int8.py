"""An ONNX file in integers of 8 bits: static quantisation by ONNX Runtime's own quantiser.

Weights have a scale for each channel; activations one for each tensor, from the least and the
largest value over clips that calibrate it. Graphs hold pairs of QuantizeLinear and
DequantizeLinear, which ONNX Runtime and OpenVINO join with the operators between them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from expand3d.core.errors import ExportError
from expand3d.interop.onnx import session

MODEL = "model-int8.onnx"
#: Operators that have to run in integers; others cost little.
HEAVY = ("Conv", "FusedConv", "NhwcFusedConv", "Gemm", "MatMul")

Fed = Mapping[str, Any]


def quantise(file: Path, out: Path, clips: Iterable[Fed]) -> None:
    """Write `file` in 8 bits as `out`, calibrated on `clips` (arrays by the names of inputs).

    ExportError where ONNX Runtime here has no kernels that run its convolutions in 8 bits.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        """The clips one by one, as the quantiser asks for them."""

        def __init__(self) -> None:
            self._clips: Iterator[Fed] = iter(clips)

        def get_next(self) -> Fed | None:
            """The next clip, or None at the end."""
            return next(self._clips, None)

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises a step that the file has behind it
    try:
        quantize_static(
            file,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
    finally:
        logger.setLevel(level)
    made, floats = onnx.load(out), onnx.load(file)
    del made.metadata_props[:]
    made.metadata_props.extend(floats.metadata_props)
    made.metadata_props.add(key="precision", value="int8, static, per channel")
    out.write_bytes(made.SerializeToString(deterministic=True))
    refuse_without_kernels(out)


def refuse_without_kernels(file: Path) -> None:
    """Raise ExportError where ONNX Runtime here cannot run `file`, or not in 8 bits."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="expand3d-int8-") as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        try:
            session(file, optimised=optimised)
        except Exception as error:  # its own class of error differs between versions
            first = str(error).splitlines()[0]
            raise ExportError(f"--int8: onnxruntime here cannot run it: {first}") from None
        kinds = [node.op_type for node in onnx.load(optimised).graph.node]
    left = [kind for kind in kinds if kind in HEAVY]
    if left:
        every = len(left) + sum(kind.startswith("QLinearConv") or kind == "QGemm" for kind in kinds)
        raise ExportError(
            f"--int8: onnxruntime here has no kernels in 8 bits for {len(left)} of {every} "
            f"convolutions and linear layers, which would run slower than in float32"
        )
