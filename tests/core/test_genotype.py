"""Networks as data: equality, identity and JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from expand3d.core.genotype import Genotype, canonical, digest
from expand3d.networks.families.x3d import FAMILY


def test_the_order_of_factors_does_not_matter() -> None:
    one = Genotype("x3d", {"gamma_w": 1.0, "gamma_b": 2.25})
    other = Genotype("x3d", {"gamma_b": 2.25, "gamma_w": 1.0})
    assert one == other and hash(one) == hash(other)
    assert len({one, other, Genotype("y", one.factors)}) == 2
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_replace_leaves_the_original() -> None:
    factors = {"gamma_w": 1.0, "gamma_b": 2.25}
    genotype = Genotype("x3d", factors)
    wider = genotype.replace(gamma_w=2.0)
    assert (genotype["gamma_w"], wider["gamma_w"], wider["gamma_b"]) == (1.0, 2.0, 2.25)
    factors["gamma_w"] = 9.0
    assert genotype["gamma_w"] == 1.0


def test_a_genotype_survives_json() -> None:
    genotype = FAMILY.base.replace(gamma_s=160 / 112)
    assert Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype


def test_canonical_json_by_hand() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "x"}) == '{"a":"x","b":[1,2.5,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_digests_are_the_same_on_every_machine() -> None:
    # sha256 of the text [{"a":1},"x"], first 16 digits, by sha256sum.
    assert digest({"a": 1}, "x") == "3e00be6f585504c3"
    assert digest("a", "b") != digest("ab") != digest(["a", "b"], "")


def test_equal_plans_are_one_trial_and_any_other_integer_is_another() -> None:
    # At 1.01 every width still rounds to the base's: 24.24, 48.48, 96.96, 193.92.
    plan = FAMILY.resolve(FAMILY.base)
    assert FAMILY.resolve(FAMILY.base.replace(gamma_w=1.01)).digest == plan.digest
    changed = [
        dataclasses.replace(plan, **{field.name: _other(getattr(plan, field.name))})
        for field in dataclasses.fields(plan)
    ]
    assert len({plan.digest, *(other.digest for other in changed)}) == len(changed) + 1


def _other(value: object) -> object:
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}-b"
