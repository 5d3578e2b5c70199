"""A study whose networks read flow that another tool computed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expand3d.core.errors import DataError, StudyError
from expand3d.data.flow import store
from expand3d.data.manifest import load_manifest
from expand3d.run.baselines import Selection, add_baselines, new_baselines
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

pytestmark = pytest.mark.slow
FRAMES = 40


def test_flow_is_read_and_belongs_to_the_studys_data(
    config: StudyConfig, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "flow_of", None)  # nothing computes flow
    flow = tmp_path / "flow"
    for video in load_manifest(videos).videos:
        folder = flow / Path(video.key).with_suffix("")
        folder.mkdir(parents=True)
        for number in range(1, FRAMES):
            for axis in "xy":
                picture = Image.fromarray(np.full((32, 48), 128 + 20 * video.label, np.uint8))
                picture.save(folder / f"flow_{axis}_{number:05d}.jpg")
    config = dataclasses.replace(config, budget="1G", flow_data=str(flow))
    one, two = Selection(names=("twostream-base",)), Selection(names=("tsn-small",))
    new_baselines(config, one)
    (trial,) = Record.open("tiny", root=config.root).trials()
    assert trial.state == "complete"
    moved = flow.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no such folder of flow"):
        add_baselines("tiny", two, root=config.root)
    add_baselines("tiny", two, root=config.root, changes={"flow_data": str(moved)})
    Image.new("L", (48, 32), 3).save(next(moved.rglob("flow_x_00001.jpg")))
    with pytest.raises(StudyError, match="flow_data is not that which study 'tiny' began with"):
        add_baselines("tiny", one, root=config.root, changes={"flow_data": str(moved)})
    with pytest.raises(StudyError, match="flow_data"):
        add_baselines("tiny", one, root=config.root, changes={"flow_data": None})
