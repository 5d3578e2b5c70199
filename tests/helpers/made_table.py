"""A table as `tabulate` would leave it, its networks scored without training."""

from __future__ import annotations

import random
from pathlib import Path

from expand3d.core.result import Training, TrainingKey
from expand3d.core.scores import ClipScore
from expand3d.core.trial import Candidate
from expand3d.networks import get_family
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategies import strategy_to_json
from expand3d.search.tabular.tabulation import Tabulation, listed
from expand3d.study.config import NamedConfig
from expand3d.study.record import DATA, STRATEGY, Record
from tests.helpers.strategies import LIMITS, accuracy

BUDGET = 80_000_000
CLASSES = ("a", "b", "c", "d")
RUNGS, VISITS = (160, 320), 640
#: Clips of each part, three of a group.
CLIPS = 60


def tested(candidate: Candidate, visits: int) -> Training:
    """Right more often for better networks and after more visits; each seed a little otherwise."""
    share = accuracy(candidate.genotype) * (0.5 + 0.5 * visits / VISITS)
    lots = random.Random(f"{candidate.digest} {visits}")
    scores = []
    for part in ("val", "test"):
        for clip in range(CLIPS):
            right = lots.random() < share
            label = clip % len(CLASSES)
            predicted = label if right else (label + 1) % len(CLASSES)
            nll = 2 * (1 - share) + (0.2 if right else 1.0) + 0.1 * lots.random()
            key, group = f"{part}{clip}", f"{part}{clip // 3}"
            scores.append(ClipScore(key, label, int(not right), nll, group, predicted))
    return Training("ok", None, tuple(scores), visits, 3 * candidate.macs * visits, 1.0, 0)


def made_record(root: Path, *, networks: int | None = None) -> Record:
    """The record of a table to 0.08 GFLOPs: 28 networks and three random ones, six with two seeds.

    With `networks`, only as many trainings are there.
    """
    config = NamedConfig(
        budget="0.08GFLOPs",
        name="table",
        root=str(root),
        strategy="tabulate",
        rungs=RUNGS,
        draws=3,
        repeats=2,
        repeated=6,
        score_test=True,
        final=False,
        recipe={"clip_visits": VISITS, "anneal": "branch"},
    )
    expansion = Expansion("x3d", len(CLASSES), BUDGET, LIMITS)
    every = listed(expansion, count=3, repeats=2, repeated=6)
    table = Tabulation("x3d", len(CLASSES), BUDGET, every, RUNGS, limits=LIMITS)
    data = {
        "fingerprint": "0" * 16,
        "classes": list(CLASSES),
        "clips": {},
        "skipped": {},
        "test": [f"test{clip}" for clip in range(CLIPS)],
    }
    kept = {DATA: data, STRATEGY: strategy_to_json(table, "tabulate")}
    record = Record.create(config, attributes=kept)
    for candidate in every[:networks]:
        cost = get_family("x3d").cost(candidate.plan).totals()
        number = record.begin(candidate, cost, {"device": "cpu", "threads": 1})
        assert candidate.repeat is not None
        for visits in (*RUNGS, VISITS):
            key = TrainingKey(0, candidate.repeat, visits=None if visits == VISITS else visits)
            record.put_training(number, key, tested(candidate, visits))
        record.finish(number, "complete")
    return record
