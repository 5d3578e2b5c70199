"""Tiny clips in memory, and a tiny network that trains on them in a second."""

from __future__ import annotations

import pytest

from expand3d.core.recipe import Recipe
from expand3d.networks.families.x3d import X3DPlan
from tests.helpers.train_toys import ArrayStore, make_plan, make_recipe, make_store


@pytest.fixture
def store() -> ArrayStore:
    return make_store()


@pytest.fixture
def plan() -> X3DPlan:
    return make_plan()


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe()
