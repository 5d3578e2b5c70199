"""The folder of a latency kit: networks as ONNX files, a list of them, and what times them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from expand3d.core.errors import ExportError, FileError
from expand3d.core.files import make_folder
from expand3d.core.genotype import Plan
from expand3d.interop import onnx
from expand3d.interop.formats import refuse_occupied
from expand3d.interop.verify import absent
from expand3d.networks import get_family

SCRIPT = "time_networks.py"
LIST = "networks.csv"
COLUMNS = ("name", "file", "digest", "plan")
#: What writing a kit needs; the device needs less.
NEEDS = ("onnx", "onnxscript")


def write_kit(
    networks: Mapping[str, Plan], out: str | Path, *, force: bool = False
) -> Sequence[Path]:
    """Write the kit of these networks, whose weights are random, into `out`; its files.

    ExportError where the exporter is not installed or `out` has files already.
    """
    import torch

    if missing := absent(NEEDS):
        raise ExportError(
            f"a latency kit needs {' and '.join(missing)}: pip install 'expand3d[onnx]'"
        )
    out = Path(out)
    refuse_occupied(out, force=force)
    try:
        make_folder(out)
        files, rows = [], []
        for name, plan in networks.items():
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)
                network = get_family(plan.family).build(plan)
            files.append(out / f"{plan.digest}.onnx")
            onnx.write_model(network, plan, files[-1])
            rows.append((name, files[-1].name, plan.digest, json.dumps(plan.to_json())))
        with (out / LIST).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        shutil.copyfile(Path(__file__).with_name(SCRIPT), out / SCRIPT)
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error}") from None
    return [*files, out / LIST, out / SCRIPT]
