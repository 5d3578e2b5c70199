"""Troubles of a cluster alone: to lose a worker of its own, lose a machine, have too few CPUs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.two_nodes import two_nodes
from expand3d.core.errors import ConfigError
from expand3d.core.result import Training, TrainingKey
from expand3d.execute import get_executor
from expand3d.execute.base import Assignment, Setting
from tests.helpers import ROOT
from tests.helpers.stages import Stage, Told

pytestmark = pytest.mark.slow
LOST = "trial {}: its worker under Ray was lost; it goes on in another"


def run(stage: Stage, told: Told, setting: Setting) -> None:
    with get_executor("ray", setting) as executor:
        executor.run(stage.assignments(), told, lambda: False)


def by_this_process(stage: Stage, home: Path) -> dict[Any, Training]:
    home.mkdir()
    own, told = Stage(home, ["train"] * len(stage.deeds)), Told()
    with get_executor("here", Setting(home)) as executor:
        executor.run(own.assignments(), told, lambda: False)
    return told.trained_


def test_a_lost_worker_of_ray_is_replaced_and_nothing_is_trained_twice(
    cluster: None, home: Path
) -> None:
    stage, told = Stage(home, ["train", "orphan once"]), Told()
    run(stage, told, Setting(home, workers=2))
    assert told.ended_ == {0: None, 1: None}
    assert told.notes == [LOST.format(1)]
    # It was lost after step 2 of the second training: the first is not done again.
    assert [row[1:3] for row in stage.log() if row[0] == 1] == [
        ("0/0", 0),
        ("1/0", 0),
        ("1/0", 2),
    ]


def test_a_training_that_costs_ray_its_workers_fails_for_that_reason(
    cluster: None, home: Path
) -> None:
    stage, told = Stage(home, ["orphan", "train"]), Told()
    run(stage, told, Setting(home, workers=2))
    assert told.ended_[1] is None
    assert told.ended_[0] is not None and "worker lost 3 times" in told.ended_[0]
    assert told.notes == [LOST.format(0)] * 2  # the third time it has failed


def test_too_few_cpus_are_said_at_once(cluster: None, home: Path) -> None:
    for workers, threads in ((3, 1), (2, 2), (1, 3)):
        setting = Setting(home, workers=workers, threads=threads)
        with (
            pytest.raises(ConfigError, match=r"at most \d at a time"),
            get_executor("ray", setting),
        ):
            pass
    gpu = Setting(home, device="cuda")
    with pytest.raises(ConfigError, match=r"with 1 CPUs and a GPU, do not fit.*2 CPUs and 0 GPUs"):
        get_executor("ray", gpu).__enter__()


def test_a_gpu_is_not_named_since_ray_gives_it(home: Path) -> None:
    with pytest.raises(ConfigError, match="must be 'cpu' or 'cuda'"):
        get_executor("ray", Setting(home, devices=("cuda:0", "cuda:1")))


def test_no_cluster_at_the_address_is_said(home: Path) -> None:
    import ray

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ConfigError, match=r"address = '127\.0\.0\.1:9' names no Ray cluster"):
        get_executor("ray", Setting(home, address="127.0.0.1:9")).__enter__()


@pytest.fixture
def cluster_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the workers find the helpers
    with two_nodes() as made:
        yield made


def test_a_cluster_that_loses_a_machine_ends_with_what_one_process_gives(
    cluster_of_two: tuple[Any, list[Any]], home: Path
) -> None:
    cluster, machines = cluster_of_two
    stage = Stage(home, ["pause", "pause", "pause", "train"])
    losing: list[threading.Thread] = []

    class Look(Told):
        def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
            super().trained(assignment, key, training)
            if not losing:
                lose = threading.Thread(target=cluster.remove_node, args=(machines[0], False))
                losing.append(lose)
                lose.start()

    told = Look()
    setting = Setting(home, workers=2, address=cluster.address)
    run(stage, told, setting)
    assert losing
    assert told.ended_ == dict.fromkeys(range(4))
    began = [row[:2] for row in stage.log()]
    twice = {row for row in began if began.count(row) > 1}
    assert twice, "nothing was on the machine that was lost"
    assert told.notes == [LOST.format(number) for number, _ in twice]
    for training in told.trained_.values():
        assert training.status == "ok"
    scores = {key: training.scores for key, training in told.trained_.items()}
    own = by_this_process(stage, home / "own")
    assert scores == {key: training.scores for key, training in own.items()}
