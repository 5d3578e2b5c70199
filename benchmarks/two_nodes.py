"""Two Ray nodes on this machine, a study on them that loses one, and whether records are equal."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from expand3d.cli.live import PlainWatch
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import DATA, STRATEGY, Record

#: Keys, anywhere in a record, in which two runs of one study may differ.
INCIDENTAL = {"seconds", "waited_seconds", "test_seconds", "peak_memory", "executor", "workers"}


@contextmanager
def two_nodes(threads: int = 1) -> Iterator[tuple[Any, list[Any]]]:
    """A Ray cluster here: a head that trains nothing, and two nodes with room for one training."""
    import ray
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=threads) for _ in range(2)]
        cluster.wait_for_nodes()
        yield cluster, nodes
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()


def in_this_process(config: StudyConfig, root: str) -> Record:
    """The record of the finished study."""
    run_study(dataclasses.replace(config, root=root, executor="here"), watch=PlainWatch())
    return Record.open(str(config.name), root=root)


def with_a_node_lost(config: StudyConfig, root: str) -> tuple[Record, Loss]:
    """The record of the study on two nodes of which one is killed, and what was lost."""
    with two_nodes(config.threads or 1) as (cluster, nodes):
        config = dataclasses.replace(
            config, root=root, executor="ray", workers=2, address=cluster.address
        )
        with Loss(cluster, nodes[0], Path(root, str(config.name), "checkpoints")) as loss:
            run_study(config, watch=loss)
    return Record.open(str(config.name), root=root), loss


class Loss(PlainWatch):
    """Kills a node while both train, and keeps what the driver says before and after."""

    def __init__(self, cluster: Any, node: Any, checkpoints: Path) -> None:
        super().__init__()
        self._cluster, self._node, self._checkpoints = cluster, node, checkpoints
        self._over = threading.Event()
        self._killer = threading.Thread(target=self._kill)
        #: The driver's notes, and how many visits it heard the training of a network has done.
        self.heard: list[str | tuple[str, int]] = []
        #: The command lines of what was killed.
        self.killed: list[str] = []
        #: Numbers of the trials that had a checkpoint then.
        self.begun: list[int] = []

    def __enter__(self) -> Loss:
        self._killer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._killer.join()

    def _kill(self) -> None:
        import psutil  # Ray brings it

        while len(found := list(self._checkpoints.glob("[0-9]*-*.pt"))) < 2:
            if self._over.wait(0.05):
                return
        raylet = psutil.Process(self._node.all_processes["raylet"][0].process.pid)
        doomed = [raylet, *raylet.children(recursive=True)]
        self.begun = [int(path.name.partition("-")[0]) for path in found]
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                self.killed.append(" ".join(process.cmdline()))
        for process in doomed:  # parents first, so that none sees a child of its own die
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(self._node, allow_graceful=False)

    @property
    def trainings(self) -> list[str]:
        """Those of the killed processes that trained a network."""
        return [line for line in self.killed if "expand3d.execute.child" in line]

    def went_on(self, record: Record) -> dict[int, tuple[int, int]]:
        """By trial that lost its worker: visits at the last sign before and the first after."""
        found = {}
        for place, note in enumerate(self.heard):
            lost = re.match(r"trial (\d+): its worker under Ray was lost", str(note))
            if lost:
                digest = record.trial(int(lost[1])).candidate.digest
                before = [item[1] for item in self.heard[:place] if item[0] == digest]
                after = [item[1] for item in self.heard[place:] if item[0] == digest]
                found[int(lost[1])] = int((before or [0])[-1]), int((after or [0])[0])
        return found

    def note(self, text: str) -> None:
        self.heard.append(text)
        super().note(text)

    def training(self, candidate: Any, progress: Any) -> None:
        if candidate is not None and progress.phase == "train":
            self.heard.append((candidate.digest, progress.visits_done))
        super().training(candidate, progress)


def facts(record: Record) -> dict[str, Any]:
    """All that a study has proposed, scored, chosen and trained last, by where it stands."""
    trials, final = record.trials(), record.final()
    steps = {trial.candidate.step for trial in trials}
    kept: dict[str, Any] = {
        "trial": [trial.to_json() for trial in trials],
        "choice": {step: record.attribute(f"step/{step}") for step in steps},
        "began with": [record.attribute(DATA), record.attribute(STRATEGY)],
        "final": final,
    }
    if final and final["weights"]:
        content = (record.folder.weights / final["weights"]).read_bytes()
        kept["final weights"] = hashlib.sha256(content).hexdigest()
    return dict(_flat("", kept))


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first place in which two records' facts are not equal, with both values."""
    for place in dict.fromkeys([*one, *other]):
        mine, theirs = (side.get(place, "nothing") for side in (one, other))
        if mine != theirs:
            return f"differ in {place}: {mine!r} and {theirs!r}"
    return None


def _flat(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    items: Any = None
    if isinstance(value, Mapping):
        items = ((key, item) for key, item in value.items() if key not in INCIDENTAL)
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    if items is None:
        yield place, value
    else:
        for key, item in items:
            yield from _flat(f"{place}/{key}" if place else str(key), item)
