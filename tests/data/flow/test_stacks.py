"""Stacks of flow: along the paths of pixels, and both ways from a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from expand3d.data.flow.quantise import pixels, quantise
from expand3d.data.flow.stacks import along, both_ways
from expand3d.data.flow.store import FlowSpec, FlowStore
from tests.helpers.moving import Moving, middle, moving


def test_a_path_follows_the_pixel_not_the_place() -> None:
    """A field that is 2 right everywhere, then one that differs from column to column."""
    first = np.zeros((6, 12, 2), np.float32)
    first[..., 0] = 2
    second = np.zeros((6, 12, 2), np.float32)
    second[..., 1] = np.arange(12)
    stored = np.stack([quantise(first, 20), quantise(second, 20)])
    found = pixels(along(stored, np.array([[0, 1]]), bound=20), 20)
    assert found.shape == (2, 6, 12, 2)
    assert np.allclose(found[0], first, atol=0.1)
    # The pixel that began in column c is in column c + 2 by now; at the border it is held.
    wanted = np.minimum(np.arange(12) + 2, 11)
    assert np.allclose(found[1, :, :, 1], wanted, atol=0.2)
    # Stacked in place, as the other way does, it would be the column itself.
    assert not np.allclose(found[1, :, :, 1], np.arange(12), atol=0.2)


def test_between_pixels_vectors_are_bilinear() -> None:
    first = np.full((4, 4, 2), 0.5, np.float32)
    second = np.zeros((4, 4, 2), np.float32)
    second[..., 0] = 4 * np.arange(4)[:, None] + np.arange(4)
    stored = np.stack([quantise(first, 8), quantise(second, 16)])
    stored[1] = quantise(second / 2, 8)  # half as long, within the bound
    found = pixels(along(stored, np.array([[0, 1]]), bound=8), 8)
    assert found[1, 1, 1, 0] == pytest.approx((4 * 1.5 + 1.5) / 2, abs=0.1)


def test_both_ways_takes_half_of_a_stack_from_each_side() -> None:
    found = both_ways(np.array([5, 0]), 4, step=1, fields=10)
    assert found.tolist() == [[5, 6, 14, 13], [0, 1, 10, 10]]
    assert both_ways(np.array([9]), 3, step=2, fields=10).tolist() == [[9, 9, 17]]


def test_flow_back_is_the_motion_reversed(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    store = FlowStore(Moving([moving((2.0, -1.0))]), FlowSpec(), tmp_path)
    back = middle(pixels(store.backward(0), 20)).reshape(-1, 2).mean(axis=0)
    assert np.abs(back - (-2, 1)).max() < 0.2
