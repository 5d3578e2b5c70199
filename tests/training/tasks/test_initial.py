"""A training that begins with given weights: it steps from them, and belongs to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from expand3d.core.recipe import Recipe
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import SCRATCH
from expand3d.execute.evaluate import Bench, CannotStart, Job, evaluate
from expand3d.networks import get_family
from expand3d.networks.families.x3d import X3DPlan
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.networks.weights.remap import remap
from expand3d.training.tasks.classify import train
from tests.helpers.train_toys import ArrayStore, make_recipe

EVEN, ODD = tuple(range(0, 24, 2)), tuple(range(1, 24, 2))


@pytest.fixture
def recipe() -> Recipe:
    """4 steps."""
    return make_recipe(clip_visits=32)


def trained(
    plan: X3DPlan,
    store: ArrayStore,
    recipe: Recipe,
    out: Path,
    *,
    initial: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    until: int | None = None,
) -> Training:
    return train(
        plan,
        store,
        train_indices=EVEN,
        eval_indices=ODD,
        recipe=recipe,
        seed=3,
        forward_macs=1,
        threads=1,
        weights_out=out,
        initial=initial,
        checkpoint=checkpoint,
        until=until,
    )


def weights(plan: X3DPlan, *, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return get_family(plan.family).build(plan).state_dict()


def test_steps_of_no_length_end_where_it_began(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, tmp_path: Path
) -> None:
    given = weights(plan)
    still = dataclasses.replace(recipe, lr=1e-30, weight_decay=0.0)
    trained(plan, store, still, tmp_path / "out.safetensors", initial=given)
    found = load_file(tmp_path / "out.safetensors")
    learned = [name for name in found if not name.endswith(("mean", "var", "tracked"))]
    assert all((found[name] - given[name]).abs().max() < 1e-20 for name in learned)
    trained(plan, store, still, tmp_path / "drawn.safetensors")
    drawn = load_file(tmp_path / "drawn.safetensors")
    assert not torch.equal(drawn["stem.spatial.weight"], found["stem.spatial.weight"])


def test_a_checkpoint_belongs_to_the_weights_that_it_began_with(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, tmp_path: Path
) -> None:
    out, checkpoint = tmp_path / "out.safetensors", tmp_path / "half.pt"
    one, other = weights(plan), weights(plan, seed=6)
    whole = trained(plan, store, recipe, out, initial=one)
    bits = load_file(out)
    for wrong in (None, other):
        trained(plan, store, recipe, out, initial=one, checkpoint=checkpoint, until=16)
        ignored = trained(plan, store, recipe, out, initial=wrong, checkpoint=checkpoint)
        assert any("of another plan" in note for note in ignored.notes)
        checkpoint.unlink()
    trained(plan, store, recipe, out, initial=one, checkpoint=checkpoint, until=16)
    halves = trained(plan, store, recipe, out, initial=one, checkpoint=checkpoint)
    assert halves.scores == whole.scores and not halves.notes
    assert all(torch.equal(value, bits[name]) for name, value in load_file(out).items())


@pytest.fixture
def initial(plan: X3DPlan, tmp_path: Path) -> Initial:
    file = tmp_path / "given.safetensors"
    save_file(weights(plan), file)
    return Initial(file, plan, hash_of(file))


def a_bench(store: ArrayStore, recipe: Recipe, initial: Initial | None) -> Bench:
    job = Job(TrainingKey(0, 0), EVEN, ODD, seed=11)
    still = dataclasses.replace(recipe, lr=1e-30, weight_decay=0.0)
    return Bench(store, still, (job,), "cpu", 1, "data", initial=initial)  # type: ignore[arg-type]


def test_a_candidate_begins_with_the_remapped_weights(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, initial: Initial, tmp_path: Path
) -> None:
    """Its rows and columns of the old size are the old weights; the head is drawn anew."""
    bench = a_bench(store, recipe, initial)
    wide = dataclasses.replace(plan, widths=tuple(width + 3 for width in plan.widths))
    (found,) = evaluate(
        wide,
        bench,
        done={},
        checkpoint=lambda key: tmp_path / "checkpoint",
        stop=lambda: False,
        on_progress=lambda progress: None,
        weights_out=lambda key: tmp_path / "out.safetensors",
    )
    assert found[1].status == "ok"
    out, given = load_file(tmp_path / "out.safetensors"), load_file(initial.file)
    name = "res3.0.expand.weight"
    old = given[name].shape[1]
    assert torch.equal(out[name][:, :old], given[name]) and not out[name][:, old:].any()
    assert not torch.equal(out["head.fc.weight"], given["head.fc.weight"])


def test_the_weights_are_part_of_what_scores_depend_on(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, initial: Initial
) -> None:
    scratch, begun = a_bench(store, recipe, None), a_bench(store, recipe, initial)
    other = a_bench(store, recipe, dataclasses.replace(initial, sha="0" * 16))
    assert len({bench.identity(plan) for bench in (scratch, begun, other)}) == 3
    assert (scratch.start(plan), begun.start(plan)) == (SCRATCH, initial.sha)
    family = get_family("r3d")
    elsewhere = family.resolve(family.base, num_classes=2)
    assert begun.start(elsewhere) == SCRATCH and begun.weights(elsewhere, begun.jobs[0]) is None
    assert begun.identity(elsewhere) == scratch.identity(elsewhere)


def test_the_classes_of_the_same_names_keep_the_last_layer(plan: X3DPlan, initial: Initial) -> None:
    named = dataclasses.replace(initial, classes=("dark", "bright"))
    given = load_file(initial.file)["head.fc.weight"]
    for classes, kept in ((("dark", "bright"), True), (("bright", "dark"), False)):
        found = named.start(plan, seed=1, classes=classes).state["head.fc.weight"]
        assert torch.equal(found, given) is kept


def test_the_new_numbers_hang_on_the_seed_alone(plan: X3DPlan, initial: Initial) -> None:
    wide = dataclasses.replace(plan, stem=plan.stem + 5)
    torch.manual_seed(0)
    one = initial.start(wide, seed=1, classes=()).state
    again = initial.start(wide, seed=1, classes=()).state
    other = initial.start(wide, seed=2, classes=()).state
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["stem.spatial.weight"], other["stem.spatial.weight"])
    old = remap(plan, load_file(initial.file), plan)["stem.spatial.weight"]
    assert torch.equal(one["stem.spatial.weight"][: plan.stem], old)


def test_a_file_that_changed_or_went_is_named(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, initial: Initial
) -> None:
    bench = a_bench(store, recipe, initial)
    save_file(weights(plan, seed=9), initial.file)
    with pytest.raises(CannotStart, match=r"given\.safetensors holds other weights"):
        bench.weights(plan, bench.jobs[0])
    initial.file.unlink()
    with pytest.raises(CannotStart, match=r"given\.safetensors cannot be read"):
        bench.weights(plan, bench.jobs[0])


def test_what_came_learns_by_the_warm_rate_and_what_is_new_by_the_whole(
    plan: X3DPlan, store: ArrayStore, recipe: Recipe, initial: Initial, tmp_path: Path
) -> None:
    """At almost no rate old numbers stay, in wider layers too; stopped half-way it is the same."""
    slow = dataclasses.replace(recipe, warm_lr=1e-30, lr=0.1)
    bench = dataclasses.replace(a_bench(store, recipe, initial), recipe=slow)
    wide = dataclasses.replace(plan, inners=tuple(inner + 3 for inner in plan.inners))
    outs = []
    for name, parts in (("whole", (None,)), ("halves", (16, None))):
        out = tmp_path / name
        for until in parts:
            ((_, found),) = evaluate(
                wide,
                bench,
                done={},
                checkpoint=lambda key, out=out: out.with_suffix(".pt"),  # type: ignore[misc]
                stop=lambda: False,
                on_progress=lambda progress: None,
                weights_out=lambda key, out=out: out,  # type: ignore[misc]
                visits=until,
            )
            assert found.status == "ok", found.reason
        outs.append(load_file(out))
    whole, halves = outs
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())
    given, began = load_file(initial.file), bench.weights(wide, bench.jobs[0])
    assert began is not None
    for name in ("res3.0.expand.weight", "res3.0.project.weight", "head.fc.weight"):
        new = began.new[name]
        moved = whole[name] != began.state[name]
        assert not moved[~new].any() and moved[new].any(), name
    expand = given["res3.0.expand.weight"]
    assert torch.equal(whole["res3.0.expand.weight"][: len(expand)], expand)
