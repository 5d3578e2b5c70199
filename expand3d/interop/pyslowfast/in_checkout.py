"""Runs in a process of its own, beside a checkout of PySlowFast: its logits of an export's files.

    python in_checkout.py REPO CONFIG CHECKPOINT CLIP LOGITS

CHECKPOINT is loaded by PySlowFast's own loader; every tensor is then read back, since that loader
takes files that do not fit without an error. CLIP and LOGITS are safetensors files.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any


def main(repo: str, config: str, checkpoint: str, clip_file: str, logits_file: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    theirs = _package(repo)
    cfg = theirs("config.defaults").get_cfg()
    cfg.merge_from_file(config)
    cfg.NUM_GPUS = 0
    network: Any = theirs("models").build_model(cfg)
    theirs("utils.checkpoint").load_checkpoint(checkpoint, network, data_parallel=False)
    kept = torch.load(checkpoint, weights_only=True)["model_state"]
    held = network.state_dict()
    wrong = [n for n, value in kept.items() if n not in held or not held[n].equal(value)]
    if wrong or kept.keys() != held.keys():
        sys.exit(f"PySlowFast reads other values of {', '.join([*wrong, '...'][:8])}")
    for parent in list(network.modules()):  # logits, not probabilities
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Softmax):
                setattr(parent, name, torch.nn.Identity())
    clip = load_file(clip_file)["clip"]
    inputs = [clip]
    if cfg.MODEL.ARCH == "slowfast":  # as its loader packs them: Slow's frames reach the last
        frames = clip.shape[2]
        places = torch.linspace(0, frames - 1, frames // cfg.SLOWFAST.ALPHA).long()
        inputs = [clip.index_select(2, places), clip]
    with torch.no_grad():
        save_file({"logits": network.eval()(inputs).contiguous()}, logits_file)


def _package(repo: str) -> Any:
    """A function that imports one of its modules; what its code names and lacks stands in."""
    sys.path.insert(0, str(Path(repo).resolve()))
    try:
        importlib.import_module("detectron2.layers")
    except ImportError:  # for boxes of actors alone
        layers = types.ModuleType("detectron2.layers")
        layers.ROIAlign = object  # type: ignore[attr-defined]
        sys.modules |= {"detectron2": types.ModuleType("detectron2"), "detectron2.layers": layers}
    package = importlib.import_module("slowfast")
    for name in ("vision", "vision.fair"):  # a path inside Meta, which its tools import
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["vision.fair.slowfast"] = package
    return lambda name: importlib.import_module(f"slowfast.{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
