"""A complete MMAction2 config of an export: model, data, training and test."""

from __future__ import annotations

from collections.abc import Mapping
from pprint import pformat
from typing import Any

from expand3d.core.recipe import PROFILES, Recipe
from expand3d.data.crops import MEAN, STD, even, test_crop
from expand3d.interop.network import ExportedNetwork
from expand3d.networks.families.segments import SegmentPlan

#: Training length where the recipe counts clips and not epochs: the paper's.
EPOCHS = 256


def complete(
    network: ExportedNetwork, model: Mapping[str, Any], *, views: int, crops: int
) -> dict[str, Any]:
    """Every name that a config file there holds; tests are of `views` clips x 1 or 3 crops."""
    plan, recipe = network.plan, recipe_of(network)
    epochs = recipe.epochs or EPOCHS
    side = test_crop(plan.crop, crops)
    pictures = isinstance(plan, SegmentPlan)  # one of each part of a video
    shape = "NCHW" if pictures else "NCTHW"
    low, high = (even(plan.crop * scale) for scale in recipe.jitter)
    sample: dict[str, Any] = {
        "type": "SampleFrames",
        "clip_len": 1 if pictures else plan.frames,
        "frame_interval": plan.stride,
        "target_fps": round(network.target_fps or 30),
        "out_of_bound_opt": "loop",
    }
    squares: dict[str, Any] = (
        {"type": "CenterCrop", "crop_size": side}
        if crops == 1
        else {"type": "ThreeCrop", "crop_size": side}
    )
    flip: dict[str, Any] = {"type": "Flip", "flip_ratio": 0.5}
    ends: list[dict[str, Any]] = [
        {"type": "FormatShape", "input_format": shape},
        {"type": "PackActionInputs"},
    ]
    training: list[dict[str, Any]] = [
        {"type": "DecordInit"},
        {**sample, "num_clips": plan.frames if pictures else 1},
        {"type": "DecordDecode"},
        {"type": "RandomRescale", "scale_range": (low, high)},
        {"type": "RandomCrop", "size": plan.crop},
        *([flip] if recipe.flip else []),
        *ends,
    ]
    testing: list[dict[str, Any]] = [
        {"type": "DecordInit"},
        {**sample, "num_clips": plan.frames if pictures else views, "test_mode": True},
        {"type": "DecordDecode"},
        {"type": "Resize", "scale": (-1, side)},
        squares,
        *ends,
    ]
    warmup = max(1, round(recipe.warmup * epochs))
    return {
        "default_scope": "mmaction",
        "model": {
            "type": "Recognizer2D" if pictures else "Recognizer3D",
            "backbone": model["backbone"],
            "cls_head": {
                **model["cls_head"],
                "dropout_ratio": float(recipe.dropout),
                "average_clips": "prob",
            },
            "data_preprocessor": {
                "type": "ActionDataPreprocessor",
                "mean": [255 * MEAN] * 3,
                "std": [255 * STD] * 3,
                "format_shape": shape,
            },
        },
        "train_dataloader": _loader("train", training, recipe.batch),
        "val_dataloader": _loader("val", testing, 1),
        "test_dataloader": _loader("test", testing, 1),
        "train_cfg": {
            "type": "EpochBasedTrainLoop",
            "max_epochs": epochs,
            "val_begin": 1,
            "val_interval": 10,
        },
        "val_cfg": {"type": "ValLoop"},
        "test_cfg": {"type": "TestLoop"},
        "val_evaluator": {"type": "AccMetric"},
        "test_evaluator": {"type": "AccMetric"},
        "optim_wrapper": {
            "optimizer": {
                "type": "SGD",
                "lr": recipe.lr,
                "momentum": recipe.momentum,
                "weight_decay": recipe.weight_decay,
                "nesterov": True,
            },
            "paramwise_cfg": {"norm_decay_mult": 0.0},
        },
        "param_scheduler": [
            {
                "type": "LinearLR",
                "start_factor": 0.1,
                "by_epoch": True,
                "begin": 0,
                "end": warmup,
                "convert_to_iter_based": True,
            },
            {
                "type": "CosineAnnealingLR",
                "T_max": epochs - warmup,
                "eta_min": 0,
                "by_epoch": True,
                "begin": warmup,
                "end": epochs,
                "convert_to_iter_based": True,
            },
        ],
        "work_dir": "work_dirs/expand3d",
        "load_from": None,
    }


def recipe_of(network: ExportedNetwork) -> Recipe:
    """The recipe of the training; the paper's where an export has none."""
    return Recipe.from_json(network.recipe) if network.recipe else PROFILES["paper"]


def source(config: Mapping[str, Any], comment: str) -> str:
    """The config as the Python file that mmengine reads."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [
        'data_root = "data"  # holds train.txt, val.txt and test.txt: path and label in a line'
    ]
    for name, value in config.items():
        lines.append(f"{name} = {pformat(value, width=96, sort_dicts=False)}")
    return "\n".join(lines) + "\n"


def _loader(part: str, pipeline: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    testing = part != "train"
    return {
        "batch_size": batch,
        "num_workers": 8,
        "persistent_workers": True,
        "sampler": {"type": "DefaultSampler", "shuffle": not testing},
        "dataset": {
            "type": "VideoDataset",
            "ann_file": f"data/{part}.txt",
            "data_prefix": {"video": "data"},
            "pipeline": pipeline,
            "test_mode": testing,
        },
    }
