"""The two Python files of the pytorchvideo target, as text with gaps."""

from __future__ import annotations

from string import Template

TRAINED = "network = build()        # trained, in eval mode"
UNTRAINED = "network = build()        # NOT trained: this trial's weights were not kept"

COMMANDS = """\
Written for pytorchvideo 0.1.5, whose models import torchvision.

```console
$ python check.py    # rebuilds the network and compares its logits with expand3d's
```

pytorchvideo has no training tool of its own: `build()` in model.py is a torch module from batches
of clips to logits, to be trained as any other. Each clip of a test is one of its batch; the
network's scores are averaged over a video's clips.
"""
#: Appended to the text of a network that pools a fixed window.
WINDOW = "Logits agree with expand3d's only at this size, since pytorchvideo\npools a fixed window."
PATHWAYS = Template('''
#: The frames that the Slow pathway reads; the Fast one reads all.
SLOW = $slow


def pathways(clip: torch.Tensor) -> list[torch.Tensor]:
    """A normalised clip as the Slow and the Fast pathway read it."""
    return [clip[:, :, SLOW], clip]

''')

MODEL = Template('''\
"""The $family network of expand3d study $title.

Needs torch, pytorchvideo (0.1.5) and safetensors, not expand3d.

    from model import $names
    $state
    logits = network($call)

`clip` is RGB, uint8, N x 3 x $frames x $crop x $crop: $frames frames, $stride apart in a video at
TARGET_FPS frames a second. $window
"""

from pathlib import Path

import torch
from pytorchvideo.models.$module import $builder
from safetensors.torch import load_file

TRAINED = $trained
TARGET_FPS = $fps
FRAMES, STRIDE, CROP = $frames, $stride, $crop
MEAN, STD = $mean, $std

$constant = {
$arguments}

CLASSES = [
$classes]


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Bytes 0 to 255 as the floats that the network was trained on."""
    return (clip.float() / 255 - MEAN) / STD

$pathways
def build() -> torch.nn.Module:
    """The network, in eval mode, from normalised clips to logits."""
    network = $builder(**$constant)
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
from model import TRAINED, $names
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
        clip = stored["clip"]
        logits = network($call)
    difference = float((logits - stored["logits"]).abs().max())
    print(f"logits: largest difference {difference:.2g} (tolerance {TOLERANCE:g})")
    agrees = parameters == PARAMETERS and difference <= TOLERANCE
    print("ok" if agrees else "DIFFERS")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
''')
