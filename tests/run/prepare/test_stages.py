"""Each stage of preparing alone: frozen values in, a frozen value out."""

from __future__ import annotations

import dataclasses

import pytest

from expand3d.core.errors import BudgetError, ConfigError, StudyError
from expand3d.cost.price import nothing
from expand3d.data.check import CheckReport
from expand3d.data.manifest import Manifest
from expand3d.networks import get_family, get_preset
from expand3d.run.events import Watch
from expand3d.run.facts import advice, facts
from expand3d.run.prepare import prepare
from expand3d.run.prepare.bench import settle
from expand3d.run.prepare.data import Videos, refuse_changed_data
from expand3d.run.prepare.goal import find_goal
from expand3d.run.prepare.space import find_space
from expand3d.study.config import StudyConfig

#: Headers say 173 pixels and 95 frames; nobody has the files.
VIDEOS = Videos(
    Manifest((), ("falls", "stands"), "nowhere.csv"),
    CheckReport(infos={}, bad=(), classes={}, fps=30.0, frames=95.0, short_side=173.0),
)


class Notes(Watch):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_a_goal_needs_no_data() -> None:
    goal = find_goal(StudyConfig(budget="1G,25ms", start="x3d-xs", data="nowhere"))
    assert goal.budget == goal.reach and goal.family.name == "x3d"
    assert goal.start == get_preset("x3d-xs").genotype
    assert goal.base(7).num_classes == 7
    paper = find_goal(StudyConfig(budget="1G,25ms", schedule="paper", ratio=3))
    assert [limit.amount for limit in paper.reach.limits] == [3 * 10**9]
    assert paper.start == get_family("x3d").base
    taken = find_goal(StudyConfig(budget="2G", start="x3d-m"), get_preset("x3d-s").genotype)
    assert taken.start == get_preset("x3d-s").genotype
    with pytest.raises(ConfigError, match="belongs to family 'x3d', not 'r3d'"):
        find_goal(StudyConfig(budget="1G", family="r3d", start="x3d-xs"))
    with pytest.raises(BudgetError, match="less than the smallest x3d network costs"):
        find_goal(StudyConfig(budget="1M"))


def test_a_space_needs_headers_only() -> None:
    config = settle(StudyConfig(budget="1G", device="cpu", threads=1, first_clip=(4, 7)))
    goal = find_goal(config)
    space = find_space(config, goal, VIDEOS, known=nothing, watch=Watch())
    assert (space.limits.crop, space.limits.duration) == (21 * 8, 95)
    assert space.limits.first_clip == (4, 7) and space.crop == 168 and not space.latencies
    # What the start needs is allowed, even where the videos are smaller.
    large = find_goal(dataclasses.replace(config, budget="20G", start="x3d-l"))
    assert find_space(config, large, VIDEOS, known=nothing, watch=Watch()).limits.crop == 312


def test_this_machine_settles_what_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    settled = settle(StudyConfig(budget="1G", device="cpu", executor="processes", workers=4))
    assert (settled.device, settled.threads, settled.final_threads) == ("cpu", 2, 8)
    assert settle(settled) == settled


def test_all_stages_together_say_nothing_themselves(config: StudyConfig) -> None:
    watch = Notes()
    named = config.called("tiny")
    ready = prepare(named, watch)
    assert ready.clips.identity() == prepare(named, Watch()).clips.identity()
    assert not [line for line in watch.lines if "workers" in line or "threads" in line]
    assert ready.config.name == "tiny" and ready.budget.text == "0.04GFLOPs"
    assert ready.bench.jobs[0].train and ready.benches.scored == len(ready.bench.jobs[0].held_out)
    said = dict(facts(ready))
    assert list(said) == ["budget", "data", "limits", "training", "choosing"]
    assert said["data"].startswith(f"{config.data}: 24 clips, 2 classes; ")
    assert "16 clip visits a candidate, batch 8; cpu, 1 threads" in said["training"]
    more = dataclasses.replace(named, strategy="tpe", executor="processes", workers=3)
    (line,) = [text for text in advice(prepare(more, Watch())) if "workers" in text]
    assert line.startswith("batch = 1 networks are proposed at once, so that no more of the 3")


def test_data_that_changed_is_named(config: StudyConfig) -> None:
    clips = prepare(config.called("tiny"), Watch()).clips
    kept = clips.identity()
    refuse_changed_data(kept, clips, study="tiny")
    first = min(kept["clips"])
    other = {**kept, "fingerprint": "another", "clips": {**kept["clips"], first: "0" * 16}}
    with pytest.raises(StudyError, match=f"study 'tiny' is not what it began with: {first} is ch"):
        refuse_changed_data(other, clips, study="tiny")
