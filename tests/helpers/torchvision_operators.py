"""Declares the operators that torchvision looks up while it is imported.

`pytorchvideo.models` imports torchvision, whose wheel from PyPI is compiled for a torch with CUDA
and cannot load its operators beside a CPU build. X3D calls none of them: their schemas are enough.
"""

from __future__ import annotations

import importlib

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def declare() -> torch.library.Library | None:
    """Declare what is missing, so that `import torchvision` succeeds; None where it does anyway."""
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            library.define(schema)
        return library
