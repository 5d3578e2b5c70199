"""The expansion as a function of the record."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expand3d.core.errors import BudgetError, ConfigError, FactorError
from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import SCRATCH, Candidate, Trial
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategy import Batch, Done, answers, expand_all
from tests.helpers.examples import examples

X3D = get_family("x3d")
SMALL = Limits(crop=240, duration=90)
Evaluate = Callable[[Candidate], Trial]


def scored(candidate: Candidate, nll: float) -> Trial:
    scores = tuple(ClipScore(f"c{i}", 0, int(i / 20 > 1 / (1 + nll)), nll) for i in range(20))
    training = Training("ok", None, scores, 0, 0, 0.0, 0)
    return Trial(0, "complete", candidate, {"macs": candidate.macs}, {TrainingKey(): training})


def failed(candidate: Candidate, reason: str = "out of memory") -> Trial:
    return Trial(0, "failed", candidate, {"macs": candidate.macs}, reason=reason)


def drawn(seed: int) -> Evaluate:
    """Outcomes that depend on the network alone, in no sensible way."""

    def evaluate(candidate: Candidate) -> Trial:
        return scored(candidate, random.Random(f"{seed}{candidate.digest}").uniform(0.5, 2))

    return evaluate


def favouring(*axes: str) -> Evaluate:
    """The first of `axes` wins step 1, the second step 2, and so on."""

    def evaluate(candidate: Candidate) -> Trial:
        wanted = candidate.step == 0 or axes[min(candidate.step, len(axes)) - 1]
        hit = wanted is True or wanted in (candidate.axis, *candidate.merged)
        return scored(candidate, 2 - 0.1 * candidate.step - (0.5 if hit else 0))

    return evaluate


def expansion(budget: int = 300_000_000, **fields: object) -> Expansion:
    return Expansion("x3d", 6, budget, **{"limits": SMALL, **fields})  # type: ignore[arg-type]


def test_it_starts_with_the_base_alone() -> None:
    ask = expansion().ask([])
    assert isinstance(ask, Batch)
    (base,) = ask.candidates
    assert (base.step, base.axis, base.role, base.target) == (0, None, "base", None)
    # X2D is 20,662,304 MACs with 400 classes; its classifier has 2048 weights a class.
    assert base.macs == 20_662_304 - 394 * 2048


def test_temporal_axes_are_one_candidate_at_one_frame() -> None:
    strategy = expansion()
    base = expand_all(strategy, drawn(0))[0]
    ask = strategy.ask([base])
    assert isinstance(ask, Batch)
    assert [(c.axis, c.merged) for c in ask.candidates] == [
        ("gamma_tau", ("gamma_t",)),
        ("gamma_s", ()),
        ("gamma_d", ()),
        ("gamma_w", ()),
        ("gamma_b", ()),
    ]
    first = ask.candidates[0]
    assert (first.plan.frames, first.plan.stride) == (2, 14)
    assert all(c.target == 2 * base.candidate.macs for c in ask.candidates)
    assert len({c.digest for c in ask.candidates}) == 5


def test_each_step_grows_the_winner_of_the_last() -> None:
    strategy = expansion()
    path = ("gamma_b", "gamma_t", "gamma_s", "gamma_d")
    history = expand_all(strategy, favouring(*path))
    steps = strategy.steps(history)
    winners = [step.winner for step in steps]
    assert [w.axis for w in winners[1:] if w] == ["gamma_b", "gamma_tau", "gamma_s", "gamma_d"]
    for before, step in zip(winners, steps[1:], strict=False):
        assert before is not None
        for candidate in step.offer.candidates:
            changed = {
                name for name in X3D.axes if candidate.genotype[name] != before.genotype[name]
            }
            assert changed <= {candidate.axis, *candidate.merged, "gamma_t", "gamma_tau"}
            assert candidate.macs >= 1.05 * before.macs


def test_the_last_step_takes_what_the_budget_leaves() -> None:
    strategy = expansion(100_000_000)
    steps = strategy.steps(expand_all(strategy, favouring("gamma_b")))
    targets = [step.offer.target for step in steps[1:]]
    costs = [step.winner.macs for step in steps if step.winner]
    assert targets == [2 * costs[0], 4 * costs[0], 100_000_000]
    assert costs[-1] == pytest.approx(100_000_000, rel=0.005)


@pytest.mark.parametrize("beam", [1, 2])
def test_a_network_that_falls_short_of_its_target_catches_up_in_the_next_step(beam: int) -> None:
    """The crop ends at 120 pixels, 15% more cost than 112 have, where a step is to double it."""
    strategy = expansion(limits=Limits(crop=120, duration=90), beam=beam)
    history = expand_all(strategy, favouring("gamma_s", "gamma_d"))
    base = 20_662_304 - 394 * 2048
    steps = strategy.steps(history)
    targets = [step.offer.target for step in steps]
    assert targets[:5] == [base, 2 * base, 4 * base, 8 * base, 300_000_000]
    assert set(targets[5:]) <= {300_000_000}  # a second network of a beam may be left to grow
    short, after = steps[1].winner, steps[2].winner
    assert short is not None and after is not None
    assert (short.axis, short.plan.crop) == ("gamma_s", 120)
    assert 1.1 < short.cost / base < 1.2
    # Blocks come whole; the other axes come nearer.
    assert after.axis == "gamma_d" and after.cost == pytest.approx(4 * base, rel=0.1)
    ask = strategy.ask(history)
    assert isinstance(ask, Done) and "of the budget" in ask.reason


def test_a_network_beyond_its_target_is_expanded_to_the_same_rungs() -> None:
    """The second frame doubles the cost, where a step is to add 40%."""
    strategy = expansion(80_000_000, ratio=1.4)
    steps = strategy.steps(expand_all(strategy, favouring("gamma_t", "gamma_w")))
    base = 20_662_304 - 394 * 2048
    over = steps[1].winner
    assert over is not None and over.cost / base > 1.9
    # 1.4^2 = 1.96 is no step above that, and after 1.4^3 = 2.744 and 1.4^4 = 3.84 the 80 M are
    # 4.03 times the base, less than 9% more: the budget takes the place of the last target.
    targets = [1.4 * base, 1.4**3 * base, 80_000_000]
    assert [step.offer.target for step in steps[1:]] == pytest.approx(targets, abs=1)


def test_a_step_at_the_budget_is_not_repeated_for_a_few_percent() -> None:
    """Frames come whole: those that are nearest leave 12% of the budget."""
    strategy = expansion(300_000_000, limits=Limits(crop=160, duration=64))
    axes = ("gamma_s", "gamma_t", "gamma_t", "gamma_tau")
    history = expand_all(strategy, favouring(*axes))
    last = strategy.steps(history)[-1]
    assert last.offer.step == 4 and last.winner is not None
    share = last.winner.cost / 300_000_000
    assert 0.85 < share < 0.9
    said = f"is {share:.0%} of the budget, which its step aimed at"
    ask = strategy.ask(history)
    assert isinstance(ask, Done) and said in ask.reason


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(20_000_000, 800_000_000), st.integers(0, 9), st.sampled_from(["fit", "paper"]))
def test_no_run_ends_over_the_budget(budget: int, seed: int, schedule: str) -> None:
    strategy = expansion(budget, schedule=schedule)
    history = expand_all(strategy, drawn(seed))
    result = strategy.result(history)
    assert result is not None
    assert result.candidate.macs <= budget
    if schedule == "fit":
        assert all(trial.candidate.macs <= budget for trial in history)
    for trial in history:
        assert trial.candidate.plan.crop <= SMALL.crop
        assert trial.candidate.plan.frames * trial.candidate.plan.stride <= SMALL.duration
    steps = strategy.steps(history)
    assert [step.offer.step for step in steps] == list(range(len(steps)))
    assert len({trial.candidate.digest for trial in history}) == len(history)


def test_asking_is_pure_and_the_order_of_the_record_does_not_matter() -> None:
    strategy = expansion()
    history = expand_all(strategy, drawn(3))
    for length in range(0, len(history) + 1, 4):
        part = history[:length]
        ask = strategy.ask(part)
        for seed in range(3):
            assert strategy.ask(random.Random(seed).sample(part, length)) == ask
    assert expansion().ask(history) == strategy.ask(history)
    texts = [step.text for step in strategy.steps(history)]
    assert [step.text for step in strategy.steps(history[::-1])] == texts


def test_a_record_read_back_gives_the_same_answers() -> None:
    strategy = expansion()
    history = expand_all(strategy, drawn(4))
    read = [Trial.from_json(json.loads(json.dumps(trial.to_json()))) for trial in history]
    assert strategy.ask(read) == strategy.ask(history)
    assert strategy.ask(read[:4]) == strategy.ask(history[:4])
    texts = [step.text for step in strategy.steps(history)]
    assert [step.text for step in strategy.steps(read)] == texts


def test_a_half_finished_step_is_asked_again_whole() -> None:
    strategy = expansion()
    history = expand_all(strategy, drawn(1))
    whole = strategy.ask(history[:1])
    assert strategy.ask(history[:3]) == whole
    assert strategy.steps(history[:3])[1].text.endswith("2 of 5 finished")
    running = dataclasses.replace(history[3], state="running", trainings={})
    assert strategy.ask([*history[:3], running]) == whole


def test_failed_candidates_take_no_part() -> None:
    strategy = expansion(80_000_000)

    def evaluate(candidate: Candidate) -> Trial:
        if candidate.axis == "gamma_s":
            return failed(candidate)
        return favouring("gamma_s", "gamma_d")(candidate)

    history = expand_all(strategy, evaluate)
    steps = strategy.steps(history)
    assert all(step.winner and step.winner.axis != "gamma_s" for step in steps)
    assert "failed: gamma_s: out of memory" in steps[1].text
    result = strategy.result(history)
    assert result is not None and result.state == "complete"


@pytest.mark.parametrize(("dead_step", "trained"), [(0, 0), (1, 1)])
def test_a_step_that_fails_whole_ends_the_run(dead_step: int, trained: int) -> None:
    strategy = expansion()

    def evaluate(candidate: Candidate) -> Trial:
        return failed(candidate) if candidate.step == dead_step else scored(candidate, 1.0)

    history = expand_all(strategy, evaluate)
    ask = strategy.ask(history)
    assert isinstance(ask, Done)
    assert f"no network of step {dead_step} was trained" in ask.reason
    assert "out of memory" in ask.reason
    result = strategy.result(history)
    assert (result is not None) == (trained > 0)


def test_a_step_that_loses_is_expanded_all_the_same_and_says_so() -> None:
    strategy = expansion()
    history = expand_all(strategy, lambda candidate: scored(candidate, 1 + 0.1 * candidate.step))
    steps = strategy.steps(history)
    assert steps[-1].winner is not None and steps[-1].winner.macs > 250_000_000
    assert all("worse than the step before" in step.text for step in steps[1:])
    assert "worse than the step before (log-loss 1.000)" in steps[1].text
    result = strategy.result(history)
    assert result is not None and result.candidate.role == "base"


def test_equal_estimates_expand_the_cheapest() -> None:
    strategy = expansion()
    history = expand_all(strategy, lambda candidate: scored(candidate, 1.0))
    for step in strategy.steps(history):
        assert step.winner is not None
        assert step.winner.macs == min(c.macs for c in step.offer.candidates)
    assert strategy.result(history) is history[0]


def test_the_metric_decides() -> None:
    def evaluate(candidate: Candidate) -> Trial:
        """gamma_d has the most clips right, gamma_w the least log-loss."""
        right = 15 if candidate.axis == "gamma_d" else 10
        nll = 0.5 if candidate.axis == "gamma_w" else 1.0
        scores = tuple(ClipScore(f"c{i}", 0, int(i >= right), nll) for i in range(20))
        training = Training("ok", None, scores, 0, 0, 0.0, 0)
        return Trial(0, "complete", candidate, {}, {TrainingKey(): training})

    for metric, axis in (("top1", "gamma_d"), ("nll", "gamma_w")):
        strategy = expansion(60_000_000, metric=metric)
        winner = strategy.steps(expand_all(strategy, evaluate))[1].winner
        assert winner is not None and winner.axis == axis


def test_paper_schedule_overshoots_and_contracts_the_last_axis() -> None:
    strategy = expansion(250_000_000, schedule="paper")
    history = expand_all(strategy, favouring("gamma_b", "gamma_t", "gamma_s", "gamma_t"))
    *_, over, last = strategy.steps(history)
    assert over.winner is not None and over.winner.macs > 250_000_000
    (contracted,) = last.offer.candidates
    assert (contracted.role, contracted.axis) == ("contract", over.winner.axis)
    # 4 frames became 3 within the same duration; 3/4 of the frames, 3/4 of the cost and less.
    assert (over.winner.plan.frames, contracted.plan.frames) == (4, 3)
    assert contracted.plan.stride == round(4 * over.winner.plan.stride / 3)
    assert contracted.macs <= 250_000_000
    assert contracted.target == 250_000_000
    assert history[-1].candidate == contracted
    ask = strategy.ask(history)
    assert ask == Done("the last expansion is contracted to lie under the budget")


def test_paper_schedule_that_arrives_needs_no_contraction() -> None:
    base = 20_662_304 - 394 * 2048
    strategy = expansion(round(2.05 * base), schedule="paper", axes=("gamma_b",))
    history = expand_all(strategy, drawn(0))
    assert [trial.candidate.role for trial in history] == ["base", "expand"]


def test_a_network_that_the_record_knows_is_not_evaluated_again() -> None:
    """Contracting 2 frames leads back to the base."""
    base = 20_662_304 - 394 * 2048
    strategy = expansion(round(1.5 * base), schedule="paper", axes=("gamma_t",))
    history = expand_all(strategy, drawn(0))
    assert [trial.candidate.role for trial in history] == ["base", "expand"]
    steps = strategy.steps(history)
    assert steps[2].winner is not None and steps[2].winner.role == "contract"
    assert steps[2].winner.digest == history[0].candidate.digest
    result = strategy.result(history)
    assert result is not None and result.candidate.macs == base


def baseline(genotype: Genotype, nll: float) -> Trial:
    plan = X3D.resolve(genotype, num_classes=6)
    macs = X3D.cost(plan).macs
    named = Candidate(genotype, plan, macs, None, None, role="baseline", label="named")
    return dataclasses.replace(scored(named, nll), number=100)


def test_a_baseline_is_no_step_and_never_the_result() -> None:
    strategy = expansion(80_000_000)
    alone = expand_all(strategy, drawn(0))
    # Better than all by far, and inside the budget; but no step offers it.
    other = baseline(X3D.base.replace(gamma_s=120 / 112), 0.01)
    assert strategy.result([other]) is None
    history = [other, *alone]
    assert strategy.ask(history) == strategy.ask(alone)
    assert [s.text for s in strategy.steps(history)] == [s.text for s in strategy.steps(alone)]
    assert strategy.result(history) == strategy.result(alone)


def test_a_baseline_answers_for_a_candidate_that_is_the_same_network() -> None:
    strategy = expansion(80_000_000)
    base = baseline(X3D.base, 0.01)
    history = [base, *expand_all(strategy, lambda candidate: scored(candidate, 1.0))[1:]]
    (first, *_) = strategy.steps(history)
    assert first.winner is not None and first.winner.role == "base"
    assert strategy.result(history) == base


def test_the_plan_names_the_axes_that_end() -> None:
    strategy = expansion(limits=Limits(crop=112, duration=1))
    ask = strategy.ask(expand_all(strategy, drawn(0))[:1])
    assert isinstance(ask, Batch)
    assert "gamma_s: data ends: crop 112 of 112" in ask.note
    assert "gamma_t: data ends: clips of 1 of 1 frames" in ask.note
    assert {c.axis for c in ask.candidates} == {"gamma_d", "gamma_w", "gamma_b"}


def test_the_end_says_why() -> None:
    strategy = expansion(limits=Limits(crop=112, duration=1), axes=("gamma_s", "gamma_t"))
    ask = strategy.ask(expand_all(strategy, drawn(0)))
    assert isinstance(ask, Done)
    assert "gamma_s: data ends: crop 112 of 112" in ask.reason
    near = expansion(20_000_000)
    assert near.ask(expand_all(near, drawn(0))) == Done("19.86 MMACs is within 5% of the budget")


def test_limits_text() -> None:
    assert expansion().limits_text() == (
        "crops up to 240 pixels, clips up to 90 frames, first clip 2 x 14, costs up to 0.300 GMACs"
    )


def test_a_budget_below_the_base_is_refused_at_once() -> None:
    with pytest.raises(BudgetError, match=r"smallest budget is 19\.86 MMACs"):
        expansion(19_000_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "papper"}, "did you mean 'paper'"),
        ({"metric": "top5"}, "did you mean 'top1'"),
        ({"axes": ("gamma_x",)}, "no axis 'gamma_x'"),
        ({"axes": ()}, "at least one axis"),
        ({"ratio": 1.0}, "at least 1.05"),
    ],
)
def test_illegal_configuration(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expansion(**fields)  # type: ignore[arg-type]


def test_unknown_family_or_factor() -> None:
    with pytest.raises(FactorError):
        Expansion("x4d", 6, 10**9)
    with pytest.raises(FactorError):
        expansion(start=Genotype("x3d", {"gamma_t": 1}))


def test_start_ratio_and_axes_are_honoured() -> None:
    start = X3D.base.replace(gamma_b=2.25)
    strategy = expansion(start=start, ratio=1.5, axes=("gamma_d", "gamma_b"))
    base = strategy.ask([])
    assert isinstance(base, Batch) and base.candidates[0].genotype == start
    following = strategy.ask([scored(base.candidates[0], 1.0)])
    assert isinstance(following, Batch)
    assert [c.axis for c in following.candidates] == ["gamma_d", "gamma_b"]
    assert following.candidates[1].macs == pytest.approx(1.5 * base.candidates[0].macs, rel=0.01)


def test_futures_foresee_the_size_of_a_run() -> None:
    for schedule in ("fit", "paper"):
        strategy = expansion(200_000_000, schedule=schedule)
        futures = strategy.futures()
        assert strategy.futures() == futures
        assert any(plan != futures[0] for plan in futures)
        for plan in futures:
            assert [offer.step for offer in plan] == list(range(len(plan)))
        spent = []
        for seed in range(4):
            history = expand_all(strategy, drawn(seed))
            spent.append(sum(trial.candidate.macs for trial in history))
        every = [c.macs for plan in futures for offer in plan for c in offer.candidates]
        assert 0.8 < sum(every) / len(futures) / (sum(spent) / 4) < 1.25


def test_answers_prefers_a_complete_trial() -> None:
    base = expansion().ask([])
    assert isinstance(base, Batch)
    candidate = base.candidates[0]
    lost = failed(candidate)
    kept = dataclasses.replace(scored(candidate, 1.0), number=1)
    later = dataclasses.replace(scored(candidate, 2.0), number=2)
    assert answers([lost, later, kept]) == {candidate.digest: kept}
    assert answers([dataclasses.replace(kept, state="running")]) == {}


@pytest.mark.parametrize("beam", [1, 2])
def test_networks_that_inherit_begin_with_the_weights_of_their_parent(beam: int) -> None:
    """So that each of a step has been trained as often along its line as the step's number says."""
    strategy = expansion(inherit=True, beam=beam)
    assert Expansion.from_json(json.loads(json.dumps(strategy.to_json()))) == strategy
    trials = expand_all(strategy, drawn(3))
    by_digest = {trial.candidate.digest: trial.candidate for trial in trials}
    assert len(trials) > 5 and len(by_digest) == len(trials)
    for candidate in by_digest.values():
        trained, now = 1, candidate
        while now.start != SCRATCH:
            assert now.start == now.parent
            trained, now = trained + 1, by_digest[now.start]
        assert trained == (candidate.step or 0) + 1
    for step in strategy.steps(trials):
        plans = [candidate.plan.digest for candidate in step.offer.candidates]
        assert len(set(plans)) == len(plans)


def test_what_inherits_nothing_is_recorded_as_ever() -> None:
    assert "inherit" not in expansion().to_json()
    assert all(trial.candidate.start == SCRATCH for trial in expand_all(expansion(), drawn(3)))
