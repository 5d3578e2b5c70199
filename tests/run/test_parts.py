"""A study keeps the parts of the data that it began with, whoever draws them now."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.data.splits import make_splits
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared
from expand3d.run.runner import reopened
from expand3d.run.worker import create_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import DATA, Record


def again(config: StudyConfig) -> Prepared:
    """The study as it is prepared when it goes on."""
    assert config.name is not None
    with reopened(config.name, root=config.root, storage=None, changes=None, watch=Watch()) as it:
        return it[1]


@pytest.fixture
def named(config: StudyConfig, videos: Path) -> StudyConfig:
    """A study that names half of its groups."""
    return dataclasses.replace(config, val_groups=("g0", "g1", "g2", "g3", "g4", "g5"))


def test_a_record_from_before_goes_on_with_the_parts_that_it_had(named: StudyConfig) -> None:
    create_study(named)
    new = again(named)
    record = Record.open("tiny", root=named.root)
    data = dict(record.attribute(DATA))
    assert data.pop("split_rule") == 3
    record.set_attribute(DATA, data)
    old = again(named)
    wanted = [
        make_splits(new.store.manifest, val_groups=named.val_groups, rule=rule) for rule in (3, 1)
    ]
    assert wanted[0] != wanted[1]
    for ready, splits in zip((new, old), wanted, strict=True):
        assert ready.bench.jobs[0].train == splits.train
        assert ready.final.jobs[0].held_out == splits.test
