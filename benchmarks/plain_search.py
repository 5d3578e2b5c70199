"""The same search as a user would write it without expand3d, for `whole_job.py`.

    PYTHONPATH=. .venv-peers/bin/python benchmarks/plain_search.py JOB.json

pytorchvideo builds the networks, a Dataset decodes each sample with PyAV, fvcore counts, Optuna
keeps the trials where it is installed. Networks, clips, clip visits and recipe come from JOB.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from tests.helpers.torchvision_operators import declare

library = declare()
from pytorchvideo.models.x3d import create_x3d  # noqa: E402


class Clips(Dataset):
    """Decoded samples: a random view of a video for training, the middle one for testing."""

    def __init__(self, videos: list[list[Any]], network: dict[str, Any], *, train: bool) -> None:
        self.videos, self.network, self.train = videos, network, train

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.videos[index]
        with av.open(path) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        count, stride, crop = (self.network[key] for key in ("frames", "stride", "crop"))
        room = max(0, len(frames) - 1 - (count - 1) * stride)
        first = np.random.randint(room + 1) if self.train else room // 2
        chosen = [frames[min(first + n * stride, len(frames) - 1)] for n in range(count)]
        clip = torch.from_numpy(np.stack(chosen)).float().div_(255).permute(3, 0, 1, 2)
        side = crop * (np.random.uniform(1.14, 1.43) if self.train else 1.0)
        scale = side / min(clip.shape[2:])
        clip = F.interpolate(clip.transpose(0, 1), scale_factor=scale, mode="bilinear")
        top, left = (size - crop for size in clip.shape[2:])
        if self.train:
            top, left = np.random.randint(top + 1), np.random.randint(left + 1)
        else:
            top, left = top // 2, left // 2
        clip = clip[:, :, top : top + crop, left : left + crop].transpose(0, 1)
        return (clip - 0.45) / 0.225, label


def evaluate(network: dict[str, Any], job: dict[str, Any]) -> tuple[float, float]:
    """Top-1 and multiply-adds of one network."""
    torch.manual_seed(0)
    model = create_x3d(**network["create_x3d"], head_activation=None)
    shape = (1, 3, network["frames"], network["crop"], network["crop"])
    flops = FlopCountAnalysis(model.eval(), torch.zeros(shape))
    flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    macs = flops.total()
    model.train()
    optimiser = torch.optim.SGD(
        model.parameters(), job["lr"], 0.9, weight_decay=5e-5, nesterov=True
    )
    steps = job["clip_visits"] // job["batch"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    clips = Clips(job["train"], network, train=True)
    loader = DataLoader(clips, job["batch"], shuffle=True, drop_last=True, num_workers=1)
    done = 0
    while done < steps:
        for views, labels in loader:
            optimiser.zero_grad()
            F.cross_entropy(model(views), labels).backward()
            optimiser.step()
            schedule.step()
            done += 1
            if done == steps:
                break
    model.eval()
    right = 0
    held_out = DataLoader(Clips(job["val"], network, train=False), job["batch"], num_workers=1)
    with torch.inference_mode():
        for views, labels in held_out:
            right += int((model(views).argmax(1) == labels).sum())
    return right / len(job["val"]), macs


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    networks = job["networks"]
    try:
        import optuna
    except ImportError:  # the trainings are what takes the time
        for number, network in enumerate(networks):
            print(number, *evaluate(network, job), flush=True)
        return
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(len(networks)):
        study.enqueue_trial({"network": number})

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        return evaluate(networks[trial.suggest_int("network", 0, len(networks) - 1)], job)

    study.optimize(objective, n_trials=len(networks))


if __name__ == "__main__":
    main()
