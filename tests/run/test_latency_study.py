"""A study with a budget of measured time, killed and resumed; the clock is an imaginary one."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import BudgetError, ConfigError, StudyError
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.data.flow.store import FlowSpec
from expand3d.measure.latency import measure_latency
from expand3d.networks import get_family
from expand3d.report.study.view import load_view
from expand3d.run import budget as afford
from expand3d.run import runner as part
from expand3d.run.driver import resume_study, run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record


class Machine:
    """Measures in no time: every look at a network is a little slower than the one before."""

    def __init__(self, hardware: str = "abacus") -> None:
        self.looks: list[str] = []
        self.settings: set[tuple[str, int]] = set()
        self.hardware = hardware

    def __call__(
        self, plan: Plan, *, device: str, threads: int, flow: FlowSpec | None = None
    ) -> Latency:
        self.looks.append(plan.digest)
        self.settings.add((device, threads))
        median = get_family(plan.family).cost(plan).activations / 1e5 + 0.001 * len(self.looks)
        low, high = 0.9 * median, 1.1 * median
        return Latency(median, low, high, 20, device, self.hardware, threads, "float32")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    use(found, monkeypatch)
    return found


def use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "measure_latency", machine)
    monkeypatch.setattr(afford, "measure_latency", machine)


@pytest.fixture
def timed(config: StudyConfig) -> StudyConfig:
    return dataclasses.replace(config, budget="9ms")


def opened(config: StudyConfig) -> Record:
    return Record.open("tiny", root=config.root)


@pytest.mark.usefixtures("light")
def test_it_ends_within_the_budget_and_says_what_was_measured(
    timed: StudyConfig, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_study(timed)
    assert outcome is not None and outcome.finished
    record = opened(timed)
    assert len(machine.looks) == len(set(machine.looks)) == len(record.latencies())
    assert machine.settings == {("cpu", 1)}
    assert len(record.trials()) >= 4
    for trial in record.trials():
        plan = trial.candidate.plan
        assert trial.candidate.latency == record.latency(plan)
        assert trial.candidate.cost == trial.candidate.latency.nanoseconds <= 9_000_000  # type: ignore[union-attr]
        assert {"macs", "params", "activations", "memory"} <= trial.cost.keys()

    assert main(["status", "tiny", "--root", timed.root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["budget"], said["quantity"], said["budget_text"]) == (9_000_000, "latency", "9ms")
    best = said["best"]["latency"]
    assert best["low"] < best["median"] <= 9 < 9.01 and best["hardware"] == "abacus"
    assert main(["pareto", "tiny", "--root", timed.root]) == 0
    assert " ms" in capsys.readouterr().out
    view = load_view("tiny", root=timed.root)
    assert view.hypervolume > 0 and view.timed_on == "abacus, 1 threads"
    assert view.nearest_preset() is None


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_a_sampler_measures_before_it_trains_and_goes_on_where_it_stopped(
    timed: StudyConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = dataclasses.replace(timed, strategy="tpe", trials=4)
    assert run_study(sampled) is not None
    whole = opened(sampled)
    kept = [(t.number, t.candidate, t.scores()) for t in whole.trials()]
    assert [candidate.role for _, candidate, _ in kept] == ["base", "tpe", "tpe", "tpe"]
    assert all(candidate.cost <= 9_000_000 for _, candidate, _ in kept)
    assert len(machine.looks) == len(set(machine.looks)) == len(whole.latencies())

    cut = dataclasses.replace(sampled, root=sampled.root + "-cut")
    again = Machine()
    use(again, monkeypatch)
    left = iter(range(9))
    run_study(cut, stop=lambda: next(left, None) is None)
    assert len(opened(cut).latencies()) < len(whole.latencies())
    assert resume_study("tiny", root=cut.root).finished
    assert [(t.number, t.candidate, t.scores()) for t in opened(cut).trials()] == kept
    assert again.looks == machine.looks


@pytest.mark.usefixtures("light")
def test_stopped_and_resumed_it_measures_nothing_again(
    timed: StudyConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_study(timed) is not None
    whole = opened(timed)
    kept = [(t.number, t.candidate, t.scores()) for t in whole.trials()]

    cut = dataclasses.replace(timed, root=timed.root + "-cut")
    again = Machine()
    use(again, monkeypatch)
    for calls in (3, 9, 30, 10**9):
        left = iter(range(calls))

        def stop(left=left) -> bool:  # type: ignore[no-untyped-def]
            return next(left, None) is None

        before = len(again.looks)
        if calls == 3:
            outcome = run_study(cut, stop=stop)
        else:
            outcome = resume_study("tiny", root=cut.root, stop=stop)
        assert outcome is not None
        assert len(again.looks) == len(set(again.looks)), "measured twice"
        assert len(again.looks) >= before
    assert outcome.finished
    record = opened(cut)
    # The imaginary machine slows down with every look, so equal times mean equal looks.
    assert again.looks == machine.looks and again.settings == {("cpu", 1)}
    assert [(t.number, t.candidate, t.scores()) for t in record.trials()] == kept


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_training_may_go_on_with_other_threads_but_measuring_does_not(
    timed: StudyConfig, machine: Machine
) -> None:
    timed = dataclasses.replace(timed, recipe={**timed.recipe, "clip_visits": 8})
    calls = iter(range(9))
    run_study(timed, stop=lambda: next(calls, None) is None)
    seen = len(machine.looks)
    outcome = resume_study("tiny", root=timed.root, changes={"threads": 2})
    assert outcome.finished and len(machine.looks) > seen
    assert machine.settings == {("cpu", 1)}


@pytest.mark.usefixtures("light")
def test_other_hardware_is_refused_by_name(
    timed: StudyConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(4))
    run_study(timed, stop=lambda: next(calls, None) is None)
    use(Machine("slide rule"), monkeypatch)
    with pytest.raises(StudyError, match=r"latencies of abacus.*slide rule"):
        resume_study("tiny", root=timed.root)


def test_a_base_that_is_too_slow_is_refused_before_anything_is_decoded(
    config: StudyConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expand3d.run.prepare.data.clip_store", pytest.fail)
    with pytest.raises(BudgetError, match=r"'0.1ms' is less than the smallest x3d.*ms"):
        run_study(dataclasses.replace(config, budget="0.1ms"))
    with pytest.raises(BudgetError, match=r"least is .* Mparams"):
        run_study(dataclasses.replace(config, budget="4GFLOPs,0.1Mparams"))
    assert len(machine.looks) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_baselines_of_such_a_study_are_measured_too(
    timed: StudyConfig, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = iter(range(4))
    run_study(timed, stop=lambda: next(calls, None) is None)
    words = ["baselines", "--study", "tiny", "--root", timed.root, "--presets", "x3d-xs"]
    assert main(words) == 0
    (baseline,) = load_view("tiny", root=timed.root).baselines
    assert baseline.candidate.latency is not None
    assert baseline.candidate.cost == baseline.candidate.latency.nanoseconds


@pytest.mark.usefixtures("light")
def test_a_runtime_is_the_clock_of_a_study(timed: StudyConfig, machine: Machine) -> None:
    config = dataclasses.replace(timed, budget="9ms@onnxruntime")
    assert run_study(config) is not None
    assert machine.settings == {("onnxruntime", 1)}
    view = load_view("tiny", root=config.root)
    assert view.timed_on == "abacus, 1 threads, onnxruntime"


def test_a_runtime_that_is_not_there_is_refused_at_once(
    timed: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expand3d.measure.runtimes.absent", lambda needs: ["openvino"])
    config = dataclasses.replace(timed, budget="9ms@openvino")
    with pytest.raises(ConfigError, match="latency in openvino needs openvino"):
        run_study(config)


@pytest.mark.slow
def test_a_search_by_onnx_runtimes_clock_to_its_end(config: StudyConfig) -> None:
    """Its winner, measured in a new process, takes as long as the record says, within 20%."""
    plan = get_family("x3d").resolve(get_family("x3d").base, num_classes=2)
    first = measure_latency(plan, device="onnxruntime", threads=1)
    budget = f"{2.5 * first.median:.3f}ms@onnxruntime"
    assert run_study(dataclasses.replace(config, budget=budget)) is not None
    view = load_view("tiny", root=config.root)
    assert view.best is not None and view.best.candidate.latency is not None
    kept = view.best.candidate.latency
    assert kept.device == "onnxruntime" and kept.median <= 2.5 * first.median
    code = (
        "import sys, json\n"
        "from expand3d.measure.latency import measure_latency\n"
        "from expand3d.networks import plan_from_json\n"
        "plan = plan_from_json(json.loads(sys.argv[1]))\n"
        "print(measure_latency(plan, device='onnxruntime', threads=1).median)\n"
    )
    text = json.dumps(view.best.candidate.plan.to_json())
    said = subprocess.run(
        [sys.executable, "-c", code, text], check=True, capture_output=True, text=True
    )
    assert float(said.stdout) == pytest.approx(kept.median, rel=0.2)
