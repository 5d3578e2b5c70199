"""The weights in a file of another codebase: of a state dict, or of a training's checkpoint."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

#: Where checkpoints of trainings keep the weights, and a moving average of them.
NESTED = ("state_dict", "model_state", "model")
AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_state", "ema")
#: What wrappers put before every name: DistributedDataParallel, torch.compile, Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")
#: What stands before the names of a moving average that lies among the weights.
AVERAGED_PREFIXES = ("ema_model.", "model_ema.", "ema.")
#: Counters of moving averages, beside the tensors.
COUNTERS = ("n_averaged", "steps")


@dataclass(frozen=True)
class Checkpoint:
    """The state dicts in a file, without the prefixes of wrappers; at least one is there."""

    weights: State | None
    averaged: State | None

    def chosen(self, *, averaged: bool | None = None) -> State:
        """The average where it is asked for, or alone; WeightsError where what is asked is not."""
        wanted = self.weights is None if averaged is None else averaged
        found = self.averaged if wanted else self.weights
        if found is None:
            what = "moving average of weights" if wanted else "weights beside their moving average"
            raise WeightsError(f"it holds no {what}")
        return found


def read(path: Path) -> State:
    """The state dict in a file, as `checkpoint` finds it; the average only where it is alone."""
    return checkpoint(path).chosen()


def checkpoint(path: Path) -> Checkpoint:
    """The state dicts in a .safetensors file, or in one that torch.save wrote.

    Of a training's checkpoint the model's part; optimisers and the like are left. Nothing that a
    file holds is run. WeightsError names the file where it holds no weights, or more than weights.
    """
    held, averaged = _innermost(_held(path))
    if averaged is not None and not any(map(_is_tensor, held.values())):
        held = {}  # nothing but the average, and numbers about the training
    elif not all(map(_is_tensor, held.values())):
        raise WeightsError(f"{path} holds no state dict")
    elif not held:
        raise WeightsError(f"{path} holds no weights")
    among = [name for name in held if name.startswith(AVERAGED_PREFIXES)]
    own = {name: value for name, value in held.items() if name not in among}
    average = averaged or {name.partition(".")[2]: held[name] for name in among}
    return Checkpoint(_unwrapped(own) or None, _unwrapped(average) or None)


def _innermost(held: Any) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """The state dict within a checkpoint's dicts, and the moving average beside or above it."""
    averaged: Mapping[str, Any] | None = None
    while isinstance(held, Mapping):
        within = {key: value for key, value in held.items() if isinstance(value, Mapping)}
        found = next((within[key] for key in AVERAGED if key in within), None)
        if averaged is None and found is not None:
            averaged = _innermost(found)[0]
        inner = next((within[key] for key in NESTED if key in within), None)
        if inner is None:
            return {key: value for key, value in held.items() if key not in AVERAGED}, averaged
        held = inner
    return {"": held}, averaged


def _held(path: Path) -> Any:
    """All that lies in the file."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of archives that only run
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (
        *(OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError),
        SafetensorError,
    ) as error:
        raise WeightsError(f"{path} {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The reason why a file is not read, for a person; torch's own advice is to run it."""
    text = str(error)
    named = re.search(r"GLOBAL (\S+)", text)
    if named or "TorchScript" in text:
        what = named[1] if named else "a TorchScript program"
        return (
            f"holds more than weights: reading it would run {what}, and no file's code is run "
            "here; save its state dict alone where it was made"
        )
    why = (text.splitlines() or [type(error).__name__])[0]
    why = "a pickle of something else" if why.startswith("Weights only load failed") else why
    return f"is no file of weights: {why}"


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape")


def _unwrapped(state: State) -> State:
    """The same without what stands before every name, and without an average's counters."""
    rest = {name: value for name, value in state.items() if name not in COUNTERS}
    for prefix in PREFIXES:
        if rest and all(name.startswith(prefix) for name in rest):
            return _unwrapped({name.removeprefix(prefix): rest[name] for name in rest})
    return rest
