"""Schedule, parameter groups and gradient accumulation, against values worked out by hand."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from expand3d.networks import get_family
from expand3d.training.batches import ClipBatch
from expand3d.training.placement import place
from expand3d.training.step import forward_backward, is_out_of_memory, lr_at, parameter_groups
from expand3d.training.tasks.classify import classify
from tests.helpers.train_toys import make_recipe


def test_schedule_warms_up_and_falls_as_a_cosine() -> None:
    recipe = make_recipe(lr=0.4, warmup=0.3)
    rates = [lr_at(step, steps=10, recipe=recipe) for step in range(10)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])  # 3 warm-up steps, then the top
    assert rates[5] == pytest.approx(0.2 * (1 + math.cos(2 * math.pi / 7)))
    assert rates[9] == pytest.approx(0.2 * (1 + math.cos(6 * math.pi / 7)))
    assert lr_at(10, steps=10, recipe=recipe) == pytest.approx(0, abs=1e-15)
    assert lr_at(0, steps=1, recipe=make_recipe(lr=0.4, warmup=0.0)) == 0.4


def test_weight_decay_spares_batch_norm_alone(plan: Any) -> None:
    model = get_family("x3d").build(plan)
    decayed, spared = parameter_groups(model, 5e-5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    # In this network every BatchNorm, and nothing else, has "bn" in its last module's name.
    expected = {name for name in names.values() if name.rsplit(".", 1)[0].endswith("bn")}
    assert {names[id(parameter)] for parameter in spared["params"]} == expected
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-5, 0.0)
    assert "head.fc.bias" in {names[id(parameter)] for parameter in decayed["params"]}


def test_accumulated_passes_give_the_mean_gradient_of_the_batch() -> None:
    torch.manual_seed(0)
    recipe = make_recipe(label_smoothing=0.1)
    placement = place(recipe, threads=1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 4 * 4, 2))
    views = torch.randint(256, (8, 2, 4, 4, 3), dtype=torch.uint8)
    labels = torch.tensor([0, 1] * 4)
    halves = [ClipBatch((views[:4],), labels[:4]), ClipBatch((views[4:],), labels[4:])]
    forward = partial(classify, net, recipe=recipe, placement=placement)
    shown = [forward_backward(forward, half, share=0.5) for half in halves]
    accumulated = net[1].weight.grad.clone()
    net.zero_grad()
    logits = net(placement.input(views))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)
    loss.backward()
    assert torch.allclose(accumulated, net[1].weight.grad, atol=1e-6)
    assert sum(each.loss for each in shown) / 2 == pytest.approx(loss.item(), rel=1e-5)
    assert sum(each.correct for each in shown) == (logits.argmax(1) == labels).sum()


def test_exhausted_memory_is_recognised_in_each_of_its_spellings() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    text = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
