"""Parameters and multiply-adds of the presets against counts on their authors' or peers' code."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from expand3d.networks import get_family, get_preset

with (Path(__file__).parent / "golden" / "families_complexity.csv").open() as _file:
    ROWS = list(csv.DictReader(_file))

#: Family and variant of a row: the preset that builds it.
PRESETS = {
    ("R3D (torchvision VideoResNet)", "r3d_18"): "r3d-18",
    ("R3D (torchvision VideoResNet)", "R3D-10"): "r3d-10",
    ("R3D (torchvision VideoResNet)", "R3D-34"): "r3d-34",
    ("R3D (torchvision VideoResNet)", "R3D-50 bottleneck"): "r3d-50",
    **{
        ("R3D (kenshohara, conv1 7x7x7 + 3x3x3/2 maxpool)", f"R3D-{depth}"): f"r3d-{depth}-hara"
        for depth in (10, 18, 34, 50, 101, 152, 200)
    },
    ("R3D-ablation (torchvision blocks)", "f-R2D-18"): "f-r2d-18",
    ("R3D-ablation (torchvision blocks)", "MC2-18"): "mc2-18",
    ("R3D-ablation (torchvision blocks)", "MC3-18 (mc3_18)"): "mc3-18",
    ("R3D-ablation (torchvision blocks)", "MC4-18"): "mc4-18",
    ("R3D-ablation (torchvision blocks)", "rMC3-18"): "rmc3-18",
    **{("X3D", name): f"x3d-{name.lower()}" for name in ("XS", "S", "M")},
    ("X3D", "L (d5.0)"): "x3d-l",
    ("X3D", "XL (w2.9 d5.0)"): "x3d-xl",
    ("X3D", "X2D base (w-factor2.0 d1 b1)"): "x2d",
    ("X3D", "XS/S/M net"): "x3d-s",
    ("R(2+1)D", "r2plus1d_18"): "r2plus1d-18-torchvision",
    ("R(2+1)D", "R(2+1)D-34 torchvision-style"): "r2plus1d-34-torchvision",
    ("R(2+1)D", "R18 paper/VMZ style (M per conv, stem 45)"): "r2plus1d-18",
    ("R(2+1)D", "R18 paper/VMZ style"): "r2plus1d-18",
    ("R(2+1)D", "R34 paper/VMZ style"): "r2plus1d-34",
    ("R(2+1)D", "R34 mmaction2 (maxpool)"): "r2plus1d-34-mmaction2-8x8",
    ("R(2+1)D", "R50 pytorchvideo 16x4"): "r2plus1d-50-pytorchvideo",
    **{("ir-CSN", f"R{depth} 32x2"): f"ir-csn-{depth}" for depth in (50, 101, 152)},
    ("SlowOnly", "R50"): "slowonly-4x16-r50",
    ("C2D", "R50 TemporalPool"): "c2d-8x8-r50",
    ("I3D", "R50 8x8 pytorchvideo"): "i3d-8x8-r50",
    ("I3D", "R50 32x2 mmaction2"): "i3d-32x2-r50",
    ("I3D", "R50 heavy mmaction2"): "i3d-32x2-r50-heavy",
    ("C3D", "C3D nc=101"): "c3d-ucf101",
    ("C3D", "C3D nc=400"): "c3d",
    ("C3D", "C3D nc=487"): "c3d-sports1m",
    **{("T3D", f"DenseNet3D-{depth}"): f"densenet3d-{depth}" for depth in (121, 169)},
    **{("T3D", f"T3D-{depth} TTL"): f"t3d-{depth}" for depth in (121, 169)},
    ("T3D", "T3D-121 TTL(1,3,6)(1,3,4)(1,3,4) k=128"): "t3d-121",
    ("I3D", "Inception-v1 RGB (piergiaj, SAME pad)"): "i3d",
    ("S3D", "S3D (torchvision = kylemin)"): "s3d",
    ("S3D", "S3D-G (gates on Conv2c and the 4 branches of each Inception block)"): "s3d-g",
    **{
        ("S3D", f"S3D with full 3D stem kt={size} (TF-slim s3dg stem)"): f"s3d-stem{size}"
        for size in (1, 3, 7)
    },
    ("SlowFast", "R50 4x16 a8 b1/8 k5"): "slowfast-4x16-r50",
    ("SlowFast", "R50 8x8 a4 b1/8 k5"): "slowfast-8x8-r50-k5",
    ("SlowFast", "R50 8x8 a4 b1/8 k7"): "slowfast-8x8-r50",
    ("SlowFast", "R101 8x8"): "slowfast-8x8-r101-all",
    ("SlowFast", "R18 8x8 (bottleneck)"): "slowfast-8x8-r18",
}
#: Families of image networks over frames and optical flow, which read another input than a clip.
TWO_STREAM = {"Two-Stream/TSN backbones", "Two-Stream Fusion", "Hidden Two-Stream"}
#: Rows that no preset covers, and why.
NOT_COVERED: dict[tuple[str, str], str] = {
    ("X3D", "M without SE"): "X3D always has squeeze-excitation; its presence is no factor",
    ("I3D", "Inception-v1 Flow"): "reads optical flow, which takes an input of two channels",
}
#: The reference's X3D pools a window of the training crop's size, so that at a larger test crop
#: its lin5 (432 to 2048) and its classifier (2048 to 400) run at several places.
X3D_HEAD = 432 * 2048 + 2048 * 400
TRAINED_AT = {182: 160, 256: 224, 356: 312}
#: The reference counted C3D's multiply-adds once, with the paper's 487 classes, and its
#: parameters for each number of classes; the classifier reads 4096 values.
C3D_CLASSES, C3D_FC = 487, 4096
#: The reference's I3D and S3D classify every window of two of the frames that are left (an eighth
#: of the clip's) and average the logits; ours classifies the windows' mean, which is the same.
INCEPTION_FC = 1024 * 400
#: pytorchvideo's ResNets classify every window of 7 x 7 features and average the logits; its CSN,
#: as counted, does so for each of its 4 frames as well. Ours classify the mean of the features.
PYTORCHVIDEO_FC = 2048 * 400
WINDOWED_FRAMES = {
    **dict.fromkeys(("c2d-8x8-r50", "slowonly-4x16-r50", "i3d-8x8-r50"), 1),
    "r2plus1d-50-pytorchvideo": 1,
    **dict.fromkeys(("ir-csn-50", "ir-csn-101", "ir-csn-152"), 4),
}
#: The reference's SlowFast pools a window too: of 7, or of the crop / 32 rounded down.
SLOWFAST_HEAD = (2048 + 256) * 400
SLOWFAST_WINDOW = {"R50 8x8 a4 b1/8 k7": 7, "R101 8x8": 7, "R18 8x8 (bottleneck)": 7}
COVERED = [row for row in ROWS if (row["family"], row["variant"]) in PRESETS]


def clip(text: str) -> tuple[int, int]:
    """Frames and crop of "3x16x112x112"; of two pathways the faster one's."""
    sizes = re.findall(r"3x(\d+)x(\d+)x\d+", text)
    frames, crop = sizes[-1]
    return int(frames), int(crop)


def more_places(crop: int) -> int:
    """Positions of a fixed window beside the first, in X3D's features at a test crop."""
    size, window = -(-crop // 32), -(-TRAINED_AT.get(crop, crop) // 32)
    return (size - window + 1) ** 2 - 1


def more_windows(preset: str, crop: int) -> int:
    """Windows of 7 x 7 features beside the first, in the reference of a preset."""
    if preset not in WINDOWED_FRAMES:
        return 0
    return WINDOWED_FRAMES[preset] * (-(-crop // 32) - 7 + 1) ** 2 - 1


def more_slowfast_windows(row: dict[str, str]) -> int:
    """Positions of SlowFast's window beside the first."""
    _, crop = clip(row["input"])
    window = SLOWFAST_WINDOW.get(row["variant"], crop // 32)
    return (-(-crop // 32) - window + 1) ** 2 - 1


@pytest.mark.parametrize("row", COVERED, ids=lambda row: f"{row['variant']}-{row['input']}")
def test_a_preset_costs_what_was_counted(row: dict[str, str]) -> None:
    preset = get_preset(PRESETS[row["family"], row["variant"]])
    family = get_family(preset.genotype.family)
    frames, crop = clip(row["input"])
    genotype = preset.genotype.replace(gamma_t=frames, gamma_s=crop / 112)
    cost = family.cost(family.resolve(genotype, num_classes=preset.num_classes))
    digits = len(row["gmacs"].partition(".")[2])
    macs = cost.macs + (more_places(crop) * X3D_HEAD if row["family"] == "X3D" else 0)
    macs += (C3D_CLASSES - preset.num_classes) * C3D_FC if row["family"] == "C3D" else 0
    macs += (frames // 8 - 2) * INCEPTION_FC if family.name in ("i3d", "s3d") else 0
    macs += more_windows(preset.name, crop) * PYTORCHVIDEO_FC
    macs += more_slowfast_windows(row) * SLOWFAST_HEAD if row["family"] == "SlowFast" else 0
    assert f"{macs / 1e9:.{digits}f}" == row["gmacs"]
    digits = len(row["params_M"].partition(".")[2])
    assert f"{cost.params / 1e6:.{digits}f}" == row["params_M"]


def test_every_row_is_covered_or_says_why_not() -> None:
    rows = {(row["family"], row["variant"]) for row in ROWS if row["family"] not in TWO_STREAM}
    unknown = rows - {*PRESETS, *NOT_COVERED}
    assert not unknown
