"""`import expand3d`: the verbs are there, and cost nothing until they are used."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest
import torch

import expand3d


def test_the_verbs() -> None:
    assert "x3d-s" in expand3d.presets()
    genotype = expand3d.Genotype("x3d", expand3d.get_family("x3d").base.factors)
    plan = expand3d.resolve(genotype.replace(gamma_s=32 / 112), num_classes=3)
    network = expand3d.build(plan)
    assert network(torch.zeros(2, 3, 1, 32, 32)).shape == (2, 3)
    assert expand3d.cost(plan).params == sum(p.numel() for p in network.parameters())
    assert expand3d.cost(plan, crop=64).macs > expand3d.cost(plan).macs


def test_every_name_is_there() -> None:
    for name in expand3d.__all__:
        assert getattr(expand3d, name) is not None
        assert name in dir(expand3d)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = expand3d.nothing


def test_cost_is_the_function_whatever_was_imported_before() -> None:
    code = (
        "import expand3d.measure.fvcore, expand3d.networks.operators, expand3d\n"
        "from expand3d import cost\n"
        "assert cost is expand3d.cost and callable(cost)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_resolving_and_costing_load_no_torch() -> None:
    code = (
        "import sys, expand3d\n"
        "assert not {'numpy', 'rich'} & set(sys.modules)\n"
        "plan = expand3d.resolve(expand3d.get_preset('x3d-s').genotype)\n"
        "assert expand3d.cost(plan).macs == 1962892112\n"
        "import expand3d.core.recipe, expand3d.core.result, expand3d.core.trial\n"
        "print(*{'torch', 'optuna', 'av', 'matplotlib', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(expand3d) == doctest.TestResults(failed=0, attempted=3)
