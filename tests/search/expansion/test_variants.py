"""Beams, compound growth, contraction on every axis, and a larger budget for what is finished."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expand3d.core.budget import parse_budget
from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import Price, nothing
from expand3d.networks import get_family, get_preset
from expand3d.search.expansion.compound import compound
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.solve import Solution
from expand3d.search.expansion.steps import lineage
from expand3d.search.statistics import SCOPE, label
from expand3d.search.strategy import Batch, Done, answers, expand_all
from tests.helpers.examples import examples
from tests.helpers.strategies import LIMITS, accuracy, make, scored

X3D = get_family("x3d")
Evaluate = Callable[[Candidate], Trial]


def expansion(budget: int = 300_000_000, **fields: object) -> Expansion:
    return Expansion("x3d", 6, budget, **{"limits": LIMITS, **fields})  # type: ignore[arg-type]


def with_loss(candidate: Candidate, nll: float) -> Trial:
    scores = tuple(ClipScore(f"c{i}", 0, int(i / 20 > 1 / (1 + nll)), nll) for i in range(20))
    training = Training("ok", None, scores, 0, 0, 0.0, 0)
    return Trial(0, "complete", candidate, {"macs": candidate.macs}, {TrainingKey(): training})


def drawn(seed: int) -> Evaluate:
    """Outcomes that depend on the network alone, in no sensible way."""
    return lambda c: with_loss(c, random.Random(f"{seed}{c.digest}").uniform(0.5, 2))


def cost(genotype: Genotype) -> int:
    return X3D.cost(X3D.resolve(genotype, num_classes=6)).macs


def before(text: str) -> str:
    """A decision as it was said before it named what its certainty speaks of."""
    return text.replace(f" ({SCOPE})", "").replace("not resolved: ", "")


@pytest.mark.parametrize(("seed", "said"), [(0, "497fe3e954576beb"), (1, "e6fa00d81cfe0bb7")])
def test_the_papers_schedule_is_what_it_was_before_there_were_beams_and_rungs(
    seed: int, said: str
) -> None:
    """Digests of everything that commit fcaebc2 proposed, decided and said."""
    strategy = expansion(schedule="paper", seed=seed, beam=1)
    history = expand_all(strategy, drawn(seed))
    asked, result = strategy.ask(history), strategy.result(history)
    assert isinstance(asked, Done) and result is not None
    facts: list[object] = [
        [c.digest, c.axis, list(c.merged), c.step, c.role, c.target]
        for c in (trial.candidate for trial in history)
    ]
    facts += [
        [before(step.text), step.offer.note(), step.winner and step.winner.digest]
        for step in strategy.steps(history)
    ]
    facts += [asked.reason, result.number]
    assert hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16] == said


def hidden(candidate: Candidate) -> Trial:
    """Width is a little better at once; depth on top of a bottleneck is far better later."""
    factors = candidate.genotype
    nll = 1.0 - 0.10 * (factors["gamma_w"] > 1) - 0.05 * (factors["gamma_b"] > 1)
    both = factors["gamma_b"] > 1 and factors["gamma_d"] > 1 and factors["gamma_w"] == 1
    return with_loss(candidate, nll - 0.5 * both)


def test_a_beam_finds_what_the_best_of_each_step_hides() -> None:
    results = {}
    for beam in (1, 2):
        strategy = expansion(80_000_000, beam=beam)
        history = expand_all(strategy, hidden)
        result = strategy.result(history)
        assert result is not None
        results[beam] = result.candidate
        winner = strategy.steps(history)[1].winner
        assert winner is not None and winner.axis == "gamma_w"
    assert results[1].genotype["gamma_w"] > 1
    assert results[2].genotype["gamma_b"] > 1 and results[2].genotype["gamma_d"] > 1
    assert label(results[2]) == "gamma_d after gamma_b"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("schedule", ["fit", "paper"])
def test_a_step_of_a_beam_offers_what_each_kept_network_leads_to(schedule: str, seed: int) -> None:
    strategy = expansion(beam=3, schedule=schedule)
    history = expand_all(strategy, drawn(seed))
    steps = strategy.steps(history)
    for before, step in itertools.pairwise(steps):
        kept = [candidate.digest for candidate in before.kept]
        losses = sorted(trial.means.nll for trial in before.ranked if trial.means)
        assert len(kept) == min(3, len(losses))
        kept_losses = [t.means.nll for t in before.ranked[:3] if t.means]
        assert kept_losses == losses[:3]
        offered = step.offer.candidates
        assert {candidate.parent for candidate in offered} <= set(kept)
        assert len({candidate.digest for candidate in offered}) == len(offered)
        labels = [label(candidate) for candidate in offered]
        assert len(set(labels)) == len(labels)
        if schedule == "fit":  # fair: all networks of a step aim at one cost
            assert {candidate.target for candidate in offered} == {step.offer.target}
    path = lineage(steps)
    assert path[-1] == steps[-1].ranked[0] and path[0].candidate.role == "base"
    for parent, child in itertools.pairwise(path):
        assert child.candidate.parent == parent.candidate.digest
    assert "kept beside it" in steps[1].text


def test_without_a_beam_the_lineage_is_the_winners() -> None:
    strategy = expansion()
    steps = strategy.steps(expand_all(strategy, drawn(5)))
    assert lineage(steps) == tuple(step.ranked[0] for step in steps)
    assert lineage(()) == ()


def test_a_beam_counts_ahead_what_it_then_trains() -> None:
    strategy = expansion(200_000_000, beam=2)
    futures = strategy.futures()
    foreseen = sum(len(o.candidates) for offers in futures for o in offers) / len(futures)
    trained = [len(expand_all(strategy, drawn(seed))) for seed in range(4)]
    assert 0.7 < foreseen / (sum(trained) / 4) < 1.4
    assert min(trained) > len(expand_all(expansion(200_000_000), drawn(0)))


def found(genotype: Genotype, target: int, ceiling: int | None = None) -> Solution:
    solved = compound(
        X3D,
        X3D.axes,
        genotype,
        target=target,
        ceiling=ceiling,
        limits=LIMITS,
        num_classes=6,
        price=Price(),
    )
    assert isinstance(solved, Solution)
    return solved


def start(seed: int) -> Genotype:
    """A network between X2D and some hundred million multiply-adds."""
    rng = random.Random(seed)
    return X3D.base.replace(
        gamma_t=rng.randint(6, 10),
        gamma_tau=rng.randint(2, 8),
        gamma_s=rng.randint(14, 20) / 14,
        gamma_d=rng.randint(10, 22) / 10,
        gamma_w=rng.randint(100, 150) / 100,
        gamma_b=rng.randint(100, 225) / 100,
    )


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 999), st.floats(1.9, 4), st.booleans())
def test_a_compound_network_comes_as_near_to_its_target_as_rounding_lets_it(
    seed: int, ratio: float, capped: bool
) -> None:
    genotype = start(seed)
    target = round(ratio * cost(genotype))
    solved = found(genotype, target, target if capped else None)
    assert solved.closeness == cost(solved.genotype) / target
    assert solved.closeness == pytest.approx(1, abs=0.03)
    assert not capped or solved.macs <= target
    away = abs(math.log(solved.closeness))
    for axis in X3D.axes:
        for setting in X3D.grow(axis, solved.genotype, LIMITS):
            macs = cost(setting)
            assert (capped and macs > target) or abs(math.log(macs / target)) >= away
            if macs > 2 * target:  # and ever costlier
                break


@pytest.mark.parametrize("ratio", [1.375, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_what_cannot_be_shared_is_taken_whole_and_still_near(seed: int, ratio: float) -> None:
    genotype = start(seed).replace(gamma_t=3)
    solved = found(genotype, round(ratio * cost(genotype)))
    assert solved.closeness == pytest.approx(1, abs=0.05)
    assert solved.macs >= 1.05 * cost(genotype)


def test_a_compound_network_grows_all_axes_by_like_shares() -> None:
    genotype = get_preset("x3d-xs").genotype  # 4 x 12 frames, 160 pixels
    solved = found(genotype, 4 * cost(genotype))
    grown = {
        name: cost(genotype.replace(**{name: value})) / cost(genotype)
        for name, value in solved.genotype.factors.items()
        if value != genotype[name] and name != "gamma_tau"
    }
    # Two axes grow the frames; a sixth of a factor of 4 is 1.26 and two are 1.59.
    assert set(grown) == {"gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b"}
    assert 1.3 < grown.pop("gamma_t") < 2
    assert all(1.05 < ratio < 1.6 for ratio in grown.values())


def test_time_that_cannot_be_shared_leaves_one_frame_at_once() -> None:
    solved = found(X3D.base, 2 * cost(X3D.base))
    assert solved.genotype == X3D.base.replace(gamma_t=2, gamma_tau=14)
    step = batch(expansion(growth="both").ask([scored(first(expansion()))]))
    assert step[0].axis == "gamma_tau" and step[0].merged == ("gamma_t", "compound")


def batch(asked: object) -> tuple[Candidate, ...]:
    assert isinstance(asked, Batch)
    return asked.candidates


def first(strategy: Expansion) -> Candidate:
    return batch(strategy.ask([]))[0]


def test_compound_growth_counts_what_the_budget_counts_and_keeps_to_what_is_beside_it() -> None:
    budget = parse_budget("3Mparams,60M")
    clock = {"device": "cpu", "threads": 1, "known": nothing}
    price = Price.of_budget(budget, **clock)  # type: ignore[arg-type]
    strategy = expansion(budget.first.amount, growth="compound", price=price)
    history = expand_all(strategy, scored)
    assert len(history) > 1
    assert all(t.candidate.macs <= 60_000_000 for t in history)
    params = [X3D.cost(t.candidate.plan).params for t in history]
    assert params == [t.candidate.price for t in history] and params == sorted(params)
    assert params[-1] <= 3_000_000
    timed = Price.of_budget(parse_budget("25ms"), **clock)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="growth = 'both' needs a first limit that arithmetic"):
        expansion(growth="both", price=timed)


def test_compound_growth_is_one_network_a_step_and_both_is_one_more() -> None:
    strategy = expansion(growth="compound")
    history = expand_all(strategy, scored)
    assert [c.axis for c in (t.candidate for t in history)][1:] == ["compound"] * (len(history) - 1)
    # 15 times the base is almost four doublings.
    assert len(history) == 5
    assert history[-1].candidate.macs == pytest.approx(300_000_000, rel=0.02)
    for before, after in itertools.pairwise(history):
        old, new = before.candidate.genotype, after.candidate.genotype
        # Denser clips may take a smaller stride; nothing else ever shrinks.
        assert all(new[name] >= old[name] for name in new.factors if name != "gamma_tau")
    single, both = expansion(), expansion(growth="both")
    known = [t for t in expand_all(single, scored) if (t.candidate.step or 0) < 2]
    alone, together = batch(single.ask(known)), batch(both.ask(known))
    assert [c.digest for c in together[:-1]] == [c.digest for c in alone]
    assert together[-1].axis == "compound"


@pytest.mark.parametrize("budget", [250_000_000, 420_000_000])
def test_contraction_on_every_axis_uses_up_the_budget(budget: int) -> None:
    strategy = expansion(budget, schedule="paper-all")
    history = expand_all(strategy, drawn(2))
    *_, over, last = strategy.steps(history)
    assert over.winner is not None and over.winner.macs > budget
    offered = last.offer.candidates
    for axis in X3D.axes:
        settings = list(X3D.shrink(axis, over.winner.genotype))
        below = [cost(setting) for setting in settings if cost(setting) <= budget]
        mine = [c for c in offered if axis in (c.axis, *c.merged)]
        assert [c.macs for c in mine] == ([max(below)] if below else [])
        assert all(c.role == "contract" and c.parent == over.winner.digest for c in mine)
    assert len(offered) > 2
    paper = expansion(budget, schedule="paper")
    (alone,) = paper.steps(expand_all(paper, drawn(2)))[-1].offer.candidates
    assert alone.digest in {c.digest for c in offered}
    assert all(t.candidate.digest in {x.candidate.digest for x in history} for t in last.ranked)
    result = strategy.result(history)
    assert result is not None and result.candidate.macs <= budget
    assert isinstance(strategy.ask(history), Done)


def test_what_grew_on_all_axes_is_contracted_on_each() -> None:
    strategy = expansion(250_000_000, schedule="paper", growth="compound")
    *_, over, last = strategy.steps(expand_all(strategy, scored))
    assert over.winner is not None and over.winner.macs > 250_000_000
    assert len(last.offer.candidates) > 2
    assert all(c.macs <= 250_000_000 for c in last.offer.candidates)


VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"beam": 2},
    {"growth": "both"},
    {"schedule": "paper"},
    {"schedule": "paper-all", "beam": 2},
)


@pytest.mark.parametrize("fields", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_a_larger_budget_repeats_no_training_and_reaches_what_it_would_alone(
    fields: dict[str, object], seed: int
) -> None:
    small, large = expansion(100_000_000, **fields), expansion(300_000_000, **fields)
    evaluate = drawn(seed)
    record = expand_all(small, evaluate)
    before, old = len(record), {trial.candidate.digest for trial in record}
    while isinstance(asked := large.ask(record), Batch):
        for candidate in asked.candidates:
            if candidate.digest not in answers(record):
                record.append(dataclasses.replace(evaluate(candidate), number=len(record)))
    alone = expand_all(large, evaluate)
    # The steps are those of a study that began with the larger budget ...
    assert [step.offer for step in large.steps(record)] == [s.offer for s in large.steps(alone)]
    assert [s.text for s in large.steps(record)] == [s.text for s in large.steps(alone)]
    # ... for as many trainings as the record could not answer; it keeps all that it had.
    fresh = {trial.candidate.digest for trial in alone}
    assert {trial.candidate.digest for trial in record} == old | fresh
    assert len(record) == len(old | fresh) < before + len(alone)
    # The result is the best of all: of the larger study and of what the smaller one had trained.
    result = large.result(record)
    losses = [t.means.nll for t in record if t.means and t.candidate.macs <= 300_000_000]
    assert result is not None and result.means and result.means.nll == min(losses)


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_more_trials_of_a_sequence_are_those_of_a_longer_one(name: str) -> None:
    record = expand_all(make(name), scored)
    longer = make(name, trials=20)
    while isinstance(asked := longer.ask(record), Batch):
        record += [dataclasses.replace(scored(c), number=len(record)) for c in asked.candidates]
    assert record == expand_all(longer, scored)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "grid"])
@pytest.mark.parametrize("size", [1, 4])
def test_more_trials_of_a_sampler_keep_the_first_and_end_at_their_number(
    name: str, size: int
) -> None:
    record = expand_all(make(name, batch=size), scored)
    kept, longer = list(record), make(name, trials=24, batch=size)
    while isinstance(asked := longer.ask(record), Batch):
        wanted = [c for c in asked.candidates if c.digest not in answers(record)]
        record += [
            dataclasses.replace(scored(c), number=len(record) + place)
            for place, c in enumerate(wanted)
        ]
    assert record[: len(kept)] == kept
    assert len({trial.candidate.digest for trial in record}) == len(record)
    if name == "grid":  # the finest one that fits into what the networks before leave
        assert len(kept) < len(record) <= 24
    else:
        assert len(record) == 24
    best = longer.result(record)
    assert best is not None
    assert accuracy(best.candidate.genotype) == max(accuracy(t.candidate.genotype) for t in record)


def test_illegal_variants_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'compond' \(did you mean 'compound'"):
        expansion(growth="compond")
    with pytest.raises(ConfigError, match="beam = 0"):
        expansion(beam=0)


def test_a_sampler_goes_on_under_a_larger_budget() -> None:
    record = expand_all(make("tpe", budget=100_000_000), scored)
    kept, wider = list(record), make("tpe", budget=300_000_000, trials=24)
    while isinstance(asked := wider.ask(record), Batch):
        record += [dataclasses.replace(scored(c), number=len(record)) for c in asked.candidates]
    assert record[: len(kept)] == kept and len(record) == 24
    new = [trial.candidate.macs for trial in record[len(kept) :]]
    assert max(new) <= 300_000_000 and max(new) > 100_000_000
