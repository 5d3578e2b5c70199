"""A complete PySlowFast config of an export: network, data, training recipe and test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from expand3d.core.recipe import PROFILES, Recipe
from expand3d.data.crops import MEAN, STD, even, test_crop
from expand3d.interop.network import ExportedNetwork

#: Training length where the recipe counts clips and not epochs: the paper's.
EPOCHS = 256


def complete(network: ExportedNetwork, spelled: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that building, training and testing there read, by dotted name.

    Where their code cannot say the same, the nearest: its cosine begins at epoch 0, and its test
    resizes the short side to the first of TRAIN_JITTER_SCALES.
    """
    plan, recipe = network.plan, recipe_of(network)
    epochs = recipe.epochs or EPOCHS
    low, high = (even(plan.crop * scale) for scale in recipe.jitter)
    return {
        **spelled,
        "MODEL.DROPOUT_RATE": float(recipe.dropout),
        "MODEL.LOSS_FUNC": "cross_entropy",
        "MODEL.HEAD_ACT": "softmax",
        "DATA.SAMPLING_RATE": plan.stride,
        "DATA.TRAIN_JITTER_SCALES": [low, high],
        "DATA.TEST_CROP_SIZE": plan.crop,
        "DATA.MEAN": [MEAN] * 3,
        "DATA.STD": [STD] * 3,
        "DATA.TARGET_FPS": round(network.target_fps or 30),
        "DATA.RANDOM_FLIP": recipe.flip,
        "DATA.USE_OFFSET_SAMPLING": True,
        "DATA.DECODING_BACKEND": "torchvision",
        "DATA.PATH_TO_DATA_DIR": "",
        "TRAIN.ENABLE": True,
        "TRAIN.DATASET": "kinetics",
        "TRAIN.BATCH_SIZE": recipe.batch,
        "TRAIN.EVAL_PERIOD": 10,
        "TRAIN.CHECKPOINT_PERIOD": 1,
        "TRAIN.AUTO_RESUME": True,
        "TEST.ENABLE": True,
        "TEST.DATASET": "kinetics",
        "TEST.BATCH_SIZE": 8,
        "TEST.CHECKPOINT_FILE_PATH": "",
        "TEST.NUM_ENSEMBLE_VIEWS": recipe.test_views,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "BN.USE_PRECISE_STATS": True,
        "BN.NUM_BATCHES_PRECISE": 200,
        "BN.WEIGHT_DECAY": 0.0,
        "SOLVER.BASE_LR": float(recipe.lr),
        "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True,
        "SOLVER.LR_POLICY": "cosine",
        "SOLVER.MAX_EPOCH": epochs,
        "SOLVER.MOMENTUM": float(recipe.momentum),
        "SOLVER.NESTEROV": True,
        "SOLVER.WEIGHT_DECAY": float(recipe.weight_decay),
        "SOLVER.WARMUP_EPOCHS": float(round(recipe.warmup * epochs, 3)),
        "SOLVER.WARMUP_START_LR": float(recipe.lr / 10),
        "SOLVER.COSINE_AFTER_WARMUP": True,
        "SOLVER.COSINE_END_LR": 0.0,
        "SOLVER.OPTIMIZING_METHOD": "sgd",
        "DATA_LOADER.NUM_WORKERS": 8,
        "DATA_LOADER.PIN_MEMORY": True,
        "NUM_GPUS": 1,
        "NUM_SHARDS": 1,
        "RNG_SEED": 0,
        "OUTPUT_DIR": ".",
    }


def test_only(full: Mapping[str, Any], *, views: int, crops: int, weights: str) -> dict[str, Any]:
    """The config that tests alone: `views` clips in time, 1 or 3 crops in space.

    The training crop is the test crop, so that the head's window is all there is: at a larger test
    crop it would have several positions and average their softmax scores.
    """
    side = test_crop(full["DATA.TRAIN_CROP_SIZE"], crops)
    return {
        **full,
        "TRAIN.ENABLE": False,
        "DATA.TRAIN_CROP_SIZE": side,
        "DATA.TEST_CROP_SIZE": side,
        "DATA.TRAIN_JITTER_SCALES": [side, side],
        "TEST.NUM_ENSEMBLE_VIEWS": views,
        "TEST.NUM_SPATIAL_CROPS": crops,
        "TEST.CHECKPOINT_FILE_PATH": weights,
    }


def recipe_of(network: ExportedNetwork) -> Recipe:
    """The recipe of the training; the paper's where an export has none."""
    return Recipe.from_json(network.recipe) if network.recipe else PROFILES["paper"]


def yaml(config: Mapping[str, Any], comment: str) -> str:
    """The keys as YAML; their loader checks types, so that every float has a point."""
    sections: dict[str, list[str]] = {"": []}
    for key, value in config.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name}: {_value(value)}")
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += sections.pop("")
    for section, entries in sections.items():
        lines += [f"{section}:", *(f"  {entry}" for entry in entries)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        assert math.isfinite(value)
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return str(value)
