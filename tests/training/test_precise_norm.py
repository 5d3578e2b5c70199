"""BatchNorm's statistics over some batches, against numbers computed from what the layers read."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expand3d.networks import get_family
from expand3d.networks.families.x3d import X3DPlan
from expand3d.training.precise_norm import reestimate


def call(network: nn.Module, batch: Tensor) -> Tensor:
    return network(batch)


def test_the_first_layer_gets_mean_and_variance_of_all_clips() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv3d(3, 5, 3), nn.BatchNorm3d(5)
    clips = [torch.randn(size, 3, 4, 6, 6) * size for size in (2, 3, 7)]
    reestimate(nn.Sequential(conv, norm), clips, call)
    read = conv(torch.cat(clips)).detach().double()
    assert torch.allclose(norm.running_mean.double(), read.mean(dim=(0, 2, 3, 4)), atol=1e-6)
    wanted = read.transpose(0, 1).flatten(1).var(dim=1, unbiased=True)
    assert torch.allclose(norm.running_var.double(), wanted, rtol=1e-5)


def test_a_later_layer_reads_what_training_gives_it() -> None:
    """Each batch is normalised by its own statistics on the way, as torch does in train mode."""
    torch.manual_seed(0)
    first, second = nn.BatchNorm3d(3), nn.BatchNorm3d(4)
    conv = nn.Conv3d(3, 4, 1)
    network = nn.Sequential(first, nn.ReLU(), conv, second).eval()
    clips = [torch.randn(4, 3, 2, 5, 5) * scale + scale for scale in (1, 2)]
    read = []
    for batch in clips:
        mean = batch.mean(dim=(0, 2, 3, 4), keepdim=True)
        var = batch.var(dim=(0, 2, 3, 4), keepdim=True, unbiased=False)
        read.append(conv(((batch - mean) / (var + first.eps).sqrt()).relu()).detach())
    reestimate(network, clips, call)
    all_of_it = torch.cat(read)
    assert torch.allclose(second.running_mean, all_of_it.mean(dim=(0, 2, 3, 4)), atol=1e-5)
    wanted = all_of_it.transpose(0, 1).flatten(1).var(dim=1)
    assert torch.allclose(second.running_var, wanted, rtol=1e-4)


def test_nothing_else_changes(plan: X3DPlan) -> None:
    torch.manual_seed(0)
    network = get_family(plan.family).build(plan, dropout=0.5).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    clips = [torch.rand(4, 3, plan.frames, plan.crop, plan.crop) for _ in range(2)]
    drawn = torch.get_rng_state()
    reestimate(network, clips, call)
    assert torch.equal(torch.get_rng_state(), drawn) and not torch.equal(random_state, drawn)
    assert not any(module.training for module in network.modules())
    changed = {
        name.rpartition(".")[2]
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"running_mean", "running_var"}
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_one_batch_makes_eval_mode_the_train_mode(plan: X3DPlan) -> None:
    """The two differ only in the variance's n - 1, which is undone here."""
    torch.manual_seed(0)
    network = get_family(plan.family).build(plan, dropout=0.0).double()
    clips = torch.rand(8, 3, plan.frames, plan.crop, plan.crop, dtype=torch.float64)
    counts: dict[nn.BatchNorm3d, int] = {}

    def count(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm3d)
        counts[norm] = inputs[0].numel() // norm.num_features

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    hooks = [norm.register_forward_pre_hook(count) for norm in norms]
    with torch.no_grad():
        wanted = network.train()(clips)
        for hook in hooks:
            hook.remove()
        reestimate(network, [clips], call)
        for norm, n in counts.items():
            assert norm.running_var is not None
            norm.running_var *= (n - 1) / n
        assert (network.eval()(clips) - wanted).abs().max() < 1e-9


def test_without_a_batch_nothing_is_done() -> None:
    norm = nn.BatchNorm3d(2)
    reestimate(norm, [], call)
    assert norm.running_var is not None and torch.equal(norm.running_var, torch.ones(2))
