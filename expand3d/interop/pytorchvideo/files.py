"""The two Python files of the pytorchvideo target, as text with gaps."""

from __future__ import annotations

from string import Template

TRAINED = "network = build()        # trained, in eval mode"
UNTRAINED = "network = build()        # NOT trained: this trial's weights were not kept"

MODEL = Template('''\
"""The X3D of expand3d study $title.

Needs torch, pytorchvideo (0.1.5) and safetensors, not expand3d.

    from model import build, normalise
    $state
    logits = network(normalise(clip))

`clip` is RGB, uint8, N x 3 x $frames x $crop x $crop: $frames frames, $stride apart in a video at
TARGET_FPS frames a second. Logits agree with expand3d's only at this size, since pytorchvideo
pools a fixed window.
"""

from pathlib import Path

import torch
from pytorchvideo.models.x3d import create_x3d
from safetensors.torch import load_file

TRAINED = $trained
TARGET_FPS = $fps
FRAMES, STRIDE, CROP = $frames, $stride, $crop
MEAN, STD = $mean, $std

CREATE_X3D = {
$arguments}

CLASSES = [
$classes]


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Bytes 0 to 255 as the floats that the network was trained on."""
    return (clip.float() / 255 - MEAN) / STD


def build() -> torch.nn.Module:
    """The network, in eval mode, from normalised clips to logits."""
    network = create_x3d(**CREATE_X3D)
    if TRAINED:
        network.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return network.eval()
''')

CHECK = Template('''\
"""Rebuilds the network and compares it with what expand3d computed: `python check.py`.

Exits 0 where it agrees and 1 where it does not.
"""

import sys
from pathlib import Path

import torch
from model import TRAINED, build, normalise
from safetensors.torch import load_file

PARAMETERS = $parameters
TOLERANCE = 1e-4


def main() -> int:
    network = build()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"parameters: {parameters:,} (expected {PARAMETERS:,})")
    if not TRAINED:
        print("architecture only: no weights were kept, so there are no logits to compare")
        return int(parameters != PARAMETERS)
    stored = load_file(Path(__file__).with_name("check.safetensors"))
    with torch.no_grad():
        logits = network(normalise(stored["clip"]))
    difference = float((logits - stored["logits"]).abs().max())
    print(f"logits: largest difference {difference:.2g} (tolerance {TOLERANCE:g})")
    agrees = parameters == PARAMETERS and difference <= TOLERANCE
    print("ok" if agrees else "DIFFERS")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
''')
