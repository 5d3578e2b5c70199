"""Weights that were kept in a safetensors file under our names, read and put into a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn


def read_weights(file: Path, content: bytes | None = None) -> dict[str, Tensor]:
    """The state dict in a file, whose `content` may be read already.

    WeightsError names the file where it cannot be read, or holds anything else. Nothing is run.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state: dict[str, Tensor] = load(file.read_bytes() if content is None else content)
        return state
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from None
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{file} is no file of weights: {str(error).splitlines()[0]}") from None


def put_weights(network: nn.Module, file: Path) -> None:
    """Give a network the weights in a file; WeightsError where they are of another one."""
    from expand3d.networks.weights.convert import refuse

    state = read_weights(file)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        refuse((), state, wanted)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
    network.load_state_dict(state)
