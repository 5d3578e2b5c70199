"""RandAugment: each operation as Pillow has it, the same for all frames, drawn by the visit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from expand3d.core.errors import ConfigError
from expand3d.core.extras import PLAIN, Extras
from expand3d.data.frames import generator
from expand3d.training.batches import train_batch
from expand3d.training.rand_augment import OPERATIONS, rand_augment
from tests.helpers.train_toys import make_plan, make_recipe, make_store

SIDE = 24
CHOSEN = Extras(rand_augment=2, rand_magnitude=9)


def picture() -> np.ndarray:
    """A smooth picture of all colours but the brightest and the darkest."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    channels = [60 + 120 * x, 40 + 150 * y, 90 + 80 * np.sin(5 * x) * np.cos(4 * y)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    """Pillow's, about the centre; it takes the corner of a pixel as its place."""
    a, b, c, d, e, f = matrix
    half = SIDE / 2
    data = (a, b, c + half - a * half - b * half, d, e, f + half - d * half - e * half)
    grey = (128, 128, 128)
    return image.transform(
        image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR, fillcolor=grey
    )


def by_pillow(name: str, image: Image.Image, share: float) -> Image.Image:
    """The paper's operations at a share of AutoAugment's strongest."""
    factor, angle = 1 + 0.9 * share, math.radians(30) * share
    cos, sin = math.cos(angle), math.sin(angle)
    return {
        "identity": lambda: image,
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: ImageOps.solarize(image, round(256 - 256 * abs(share))),
        "posterize": lambda: ImageOps.posterize(image, 8 - round(4 * abs(share))),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "color": lambda: ImageEnhance.Color(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
        "rotate": lambda: affine(image, cos, sin, 0, -sin, cos, 0),
        "shear_x": lambda: affine(image, 1, 0.3 * share, 0, 0, 1, 0),
        "shear_y": lambda: affine(image, 1, 0, 0, 0.3 * share, 1, 0),
        "translate_x": lambda: affine(image, 1, 0, 150 / 331 * SIDE * share, 0, 1, 0),
        "translate_y": lambda: affine(image, 1, 0, 0, 0, 1, 150 / 331 * SIDE * share),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillows(name: str) -> None:
    pixels = picture()
    for share in (0.5, -0.75):
        found = OPERATIONS[name](torch.from_numpy(pixels)[None], share)[0].numpy()
        wanted = np.asarray(by_pillow(name, Image.fromarray(pixels), share))
        assert found.dtype == np.uint8 and found.shape == wanted.shape
        if name[:5] in ("rotat", "shear", "trans"):  # at the edge pillow does not mix with grey
            near = np.abs(found.astype(int) - wanted) <= 2
            assert near.mean() > 0.9, near.mean()
        else:
            # autocontrast and the blends of pillow cut off where these round
            assert np.abs(found.astype(int) - wanted).max() <= 1


def test_all_frames_of_a_clip_go_the_same_way() -> None:
    """Nine equal frames stay equal, and stacks in channels are those frames."""
    clip = torch.from_numpy(np.stack([picture()] * 9))
    stacked = clip.view(3, 3, SIDE, SIDE, 3).permute(0, 2, 3, 1, 4).reshape(3, SIDE, SIDE, 9)
    seen = set()
    for number in range(12):
        found = rand_augment(clip, count=2, magnitude=8, draws=generator(number))
        assert all(torch.equal(frame, found[0]) for frame in found)
        again = rand_augment(stacked, count=2, magnitude=8, draws=generator(number))
        assert torch.equal(again, torch.cat([found[:1]] * 3, dim=3).expand(3, -1, -1, -1))
        seen.add(found.numpy().tobytes())
    assert len(seen) >= 10


def test_what_changes_over_time_goes_on_changing() -> None:
    """A dark and a bright frame: equalised or stretched each by itself they would be alike."""
    dark = torch.from_numpy(picture())
    clip = torch.stack([dark // 2, dark // 2 + 100])
    for name in ("equalize", "auto_contrast", "contrast"):
        first, last = OPERATIONS[name](clip, 0.5).float().mean(dim=(1, 2, 3))
        assert last - first > 50, name


def test_visits_draw_their_own_and_a_resume_draws_the_same() -> None:
    settings: dict[str, Any] = {"plan": make_plan(), "recipe": make_recipe(), "seed": 3}
    store, indices = make_store(), tuple(range(12))

    def batch(start: int, count: int, extras: Extras) -> torch.Tensor:
        found = train_batch(store, indices, start=start, count=count, extras=extras, **settings)
        return found.views[0]

    whole, plain = batch(0, 12, CHOSEN), batch(0, 12, PLAIN)
    assert torch.equal(whole[4:], batch(4, 8, CHOSEN))
    changed = [not torch.equal(a, b) for a, b in zip(whole, plain, strict=True)]
    assert sum(changed) >= 6
    # the crops are those of a training without: magnitude 0 of what has none changes nothing
    assert torch.equal(batch(0, 4, Extras(rand_augment=0, rand_magnitude=3)), plain[:4])


def test_choices_of_earlier_versions_are_written_as_they_were() -> None:
    assert "rand_augment" not in Extras(ema=0.9).to_json()
    assert CHOSEN.to_json()["rand_augment"] == 2 and CHOSEN.to_json()["rand_magnitude"] == 9
    assert Extras.from_json(CHOSEN.to_json()) == CHOSEN
    for values, said in (
        ({"rand_augment": -1}, "rand_augment = -1 must be"),
        ({"rand_magnitude": 11}, "must lie in"),
    ):
        with pytest.raises(ConfigError, match=said):
            Extras(**values)  # type: ignore[arg-type]


def test_a_network_that_reads_flow_cannot_take_it(tmp_path: Path) -> None:
    from expand3d.networks import get_family
    from expand3d.run.events import Watch
    from expand3d.run.train import Wanted, prepare_training
    from expand3d.study.sections import Data, Execution
    from tests.helpers.made_videos import write_data_set

    data = Data(data=str(write_data_set(tmp_path / "videos")))
    execution = Execution(threads=1, device="cpu")
    genotype = get_family("twostream").base
    wanted = Wanted("flow", genotype, data, execution, tmp_path, make_recipe(), CHOSEN)
    with pytest.raises(ConfigError, match="reads optical flow too"):
        prepare_training(wanted, Watch())
