"""Flow of other tools, in made trees of each layout, and what is wrong with a tree."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expand3d.core.errors import DataError
from expand3d.data.flow.precomputed import FlowFiles
from expand3d.data.flow.quantise import pixels
from expand3d.data.flow.store import FlowSpec, FlowStore
from tests.helpers.moving import Moving

KEYS = ("run/a.avi", "walk/b.v2.avi")
FRAMES, SIDE = 6, (24, 32)
#: A clip's folder, then the files of x and of y, as the tools write them.
LAYOUTS = {
    "denseflow": "{clip}/flow_{axis}_{number:05d}.jpg",
    "short": "{clip}/{axis}_{number:05d}.jpg",
    "u and v within": "{clip}/{letter}/{number:06d}.png",
    "u and v above": "{letter}/{clip}/frame{number:06d}.jpg",
}


def write(
    root: Path,
    layout: str,
    *,
    clip: str = "run/a",
    count: int = FRAMES - 1,
    values: tuple[int, int] = (191, 64),
    size: tuple[int, int] = SIDE,
) -> list[Path]:
    """A tree of plain pictures, whose x and y are these values."""
    written = []
    for number in range(1, count + 1):
        for axis, letter, value in zip("xy", "uv", values, strict=True):
            name = LAYOUTS[layout].format(clip=clip, axis=axis, letter=letter, number=number)
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(size, value, np.uint8)).save(path, quality=100)
            written.append(path)
    return written


def fields(root: Path, *, frames: int = FRAMES, distance: int = 1) -> list[np.ndarray]:
    found = FlowFiles.find(root, KEYS[:1])
    return found.fields(KEYS[0], bound=20, frames=frames, shape=(48, 64), distance=distance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("clip", ["run/a", "a"])
def test_every_layout_is_found_and_scaled_by_the_bound(
    layout: str, clip: str, tmp_path: Path
) -> None:
    write(tmp_path, layout, clip=clip)
    found = fields(tmp_path)
    assert len(found) == FRAMES - 1 and found[0].shape == (*SIDE, 2)
    # 0 to 255 is -20 to 20: 191 is 20 * (2 * 191 / 255 - 1) to the right, 64 as much upwards.
    assert np.allclose(np.stack(found), (9.961, -9.961), atol=0.001)


@pytest.mark.parametrize("value", [127, 128])
def test_both_middles_are_no_motion(value: int, tmp_path: Path) -> None:
    write(tmp_path, "denseflow", values=(value, 255))
    (first, *_) = fields(tmp_path)
    assert not first[..., 0].any() and np.allclose(first[..., 1], 20)


def test_a_name_with_a_dot_and_pictures_of_frames_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "denseflow")
    write(tmp_path, "short", clip="walk/b.v2")
    Image.new("RGB", (32, 24)).save(tmp_path / "run/a/img_00001.jpg")
    found = FlowFiles.find(tmp_path, KEYS)
    assert set(found.clips) == set(KEYS) and len(fields(tmp_path)) == FRAMES - 1


def test_a_last_picture_more_is_left_out(tmp_path: Path) -> None:
    """Some tools write one for the last frame, too."""
    write(tmp_path, "denseflow", count=FRAMES)
    assert len(fields(tmp_path)) == FRAMES - 1
    assert len(fields(tmp_path, distance=2)) == FRAMES - 2


@pytest.mark.parametrize("count", [FRAMES - 2, FRAMES + 2, 2 * FRAMES])
def test_another_count_than_the_clips_frames_is_refused(count: int, tmp_path: Path) -> None:
    write(tmp_path, "denseflow", count=count)
    with pytest.raises(DataError, match=rf"run/a: {count} pictures .* {FRAMES} frames") as error:
        fields(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    written = write(tmp_path, "u and v within")
    written[5].unlink()  # v of the third
    with pytest.raises(DataError, match=r"a/v: picture 3 of y is missing"):
        fields(tmp_path)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    written = write(tmp_path, "denseflow")
    Image.new("L", (30, 24)).save(written[4])
    with pytest.raises(DataError, match=r"flow_x_00003.jpg: 30 x 24 pixels, .* 32 x 24"):
        fields(tmp_path)


def test_flow_of_a_cut_picture_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "denseflow", size=(24, 24))
    with pytest.raises(DataError, match=r"24 x 24 are not of a clip of 64 x 48"):
        fields(tmp_path)


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    written = write(tmp_path, "denseflow")
    written[0].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"flow_x_00001.jpg: cannot be read"):
        fields(tmp_path)


def test_clips_without_flow_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "denseflow")
    with pytest.raises(DataError, match=r"no flow of 1 of 2 clips, such as walk/b.v2.avi"):
        FlowFiles.find(tmp_path, KEYS)
    with pytest.raises(DataError, match="no such folder"):
        FlowFiles.find(tmp_path / "gone", KEYS)


def test_the_identity_is_that_of_the_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, "denseflow")
        write(tmp_path / name, "denseflow", clip="walk/b.v2")
    one, two = (FlowFiles.find(tmp_path / name, KEYS) for name in ("one", "two"))
    assert one.identity == two.identity
    Image.new("L", SIDE[::-1], 7).save(tmp_path / "two/run/a/flow_y_00002.jpg", quality=30)
    other = FlowFiles.find(tmp_path / "two", KEYS)
    assert other.identity != one.identity
    assert other.clips[KEYS[1]] == two.clips[KEYS[1]]


def test_a_store_reads_it_in_place_of_computing(tmp_path: Path) -> None:
    write(tmp_path / "flow", "denseflow")
    clips = Moving([np.zeros((FRAMES, 48, 64, 3), np.uint8)])
    clips.keys = KEYS[:1]
    files = FlowFiles.find(tmp_path / "flow", KEYS[:1])
    store = FlowStore(clips, FlowSpec(), tmp_path / "cache", files=files)
    found = pixels(store.flow(0), 20)
    assert found.shape == (FRAMES - 1, *SIDE, 2)
    assert np.abs(found - (9.961, -9.961)).max() <= 20 / 127 / 2
    assert store.spec.identity() != FlowSpec().identity()
    assert (
        store.spec.identity()
        != FlowStore(clips, FlowSpec(bound=8), tmp_path / "cache", files=files).spec.identity()
    )
    again = pickle.loads(pickle.dumps(store))
    assert again.missing([0]) == [] and again.spec == store.spec
    with pytest.raises(DataError, match=r"warped flow.*leave flow_data out"):
        store.warped(0)


def test_flow_that_is_computed_has_the_identity_that_it_always_had() -> None:
    """Records and cached files of earlier versions name it so."""
    assert FlowSpec().identity() == "60cd84ff0bfe3210"
