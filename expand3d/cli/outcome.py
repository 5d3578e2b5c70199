"""The end of a run: the signals that stop it, and what it says last."""

from __future__ import annotations

import json
import os
import signal
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console

from expand3d.cli.words import score_text
from expand3d.core.plugins import FORMATS
from expand3d.cost.price import cost_text
from expand3d.networks import get_family
from expand3d.report.study.advice import advise, headline
from expand3d.report.study.naming import network_text
from expand3d.report.study.spent import spent
from expand3d.report.study.status import final_text, status_json
from expand3d.report.study.view import StudyView, load_view
from expand3d.run.events import Overview, Watch
from expand3d.run.runner import Outcome
from expand3d.study.folder import study_command

#: The export target of every network.
OWN = "json"


class SignalStop:
    """Context manager and `stop` function: Ctrl-C or SIGTERM ask for a clean end, twice kills."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> SignalStop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        self._watch.note("stopping after this batch; once more to stop at once")


def print_plan(plan: Overview, *, as_json: bool) -> int:
    """0, once the plan was printed as JSON where that is asked for; a watch has shown it."""
    if as_json:
        print(json.dumps(plan.to_json(), indent=2))
    return 0


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """The best network, what its last training gave, and what to type next."""
    view = load_view(outcome.name, root=outcome.root, storage=outcome.storage)
    if as_json:
        print(json.dumps({**status_json(view), "ended": outcome.reason}, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    if view.best is not None:
        candidate = view.best.candidate
        console.print(
            f"best: {candidate.genotype.family} {network_text(candidate)}, "
            f"{cost_text(candidate)} (trial {view.best.number})"
        )
        console.print(f"  chosen on validation clips: {score_text(view.best)}")
    last = final_text(view)
    if last:
        console.print(f"  {last}")
    console.print(f"trainings: {spent(view.trials).text}")
    if outcome.finished:
        console.print(headline(advise(view)), markup=False)
        where: dict[str, Any] = {"root": outcome.root, "storage": outcome.storage}
        report = study_command("report", view.name, f"--out {view.name}-report", **where)
        to = f"--to {_target(view)} --out {view.name}-export"
        export = study_command("export", view.name, to, **where)
        console.print(f"look:   {report}\nexport: {export}", markup=False)
    else:
        console.print(f"{outcome.reason}; continue with: {outcome.resume}", markup=False)


def _target(view: StudyView) -> str:
    """A codebase that can build the best network, or else the format that every network has."""
    if view.best is None:
        return OWN
    family = get_family(view.best.candidate.genotype.family)
    return next((target for target in family.variants if target in FORMATS), OWN)
