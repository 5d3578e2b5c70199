"""A written export, loaded by its target's own loader and compared with our network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import ExportError
from expand3d.core.plugin_rows import Row, load_target
from expand3d.core.plugins import FORMATS
from expand3d.interop.network import ExportedNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.interop.runnable import Runnable

#: Largest difference of two logits that counts as agreement, where logits are of size 1 or less;
#: of larger ones it is relative to the largest.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Verified:
    """The largest difference between our logits and the target's, in units of the largest logit.

    `by` is the package that loaded the file, and `weights` says with which weights it was.
    """

    by: str
    weights: str
    difference: float

    @property
    def agrees(self) -> bool:
        """True where the difference is within TOLERANCE; not for NaN."""
        return self.difference <= TOLERANCE

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DIFFERS"
        return (
            f"{self.by} {verdict} with the {self.weights} weights: largest difference "
            f"{self.difference:.1e} (tolerance {TOLERANCE:g})"
        )


#: Compares a network with the export in a folder; one of a checkout takes its path as `repo`.
Verifier = Callable[..., list[Verified]]


def verify(
    network: ExportedNetwork, *, target: str, folder: str | Path, repo: str | Path | None = None
) -> list[Verified]:
    """The answers of the target's own code to the export in `folder`, beside `network`'s.

    `repo` is a checkout of a target that no package index has. ExportError where the target cannot
    be run here, or gives other logits.
    """
    refuse_unverifiable(target, repo)
    check: Verifier = load_target(FORMATS.row(target).verifier)
    found = check(network, Path(folder), **({} if repo is None else {"repo": Path(repo)}))
    if wrong := [str(each) for each in found if not each.agrees]:
        raise ExportError(f"the export in {folder} is not the network: {'; '.join(wrong)}")
    return found


def refuse_unverifiable(target: str, repo: str | Path | None = None) -> None:
    """Raise ExportError where nothing here can load an export of this target."""
    row = FORMATS.row(target)
    if repo is not None and not row.in_repo:
        raise ExportError(f"--to {target} is verified by what is installed: leave out --repo")
    if repo is None and row.in_repo:
        raise ExportError(f"--verify of --to {target} needs --repo PATH, a checkout of it")
    if not row.verifier:
        raise ExportError(f"--to {target} has nothing to verify an export with")
    if missing := absent(row.verified_by):
        raise ExportError(
            f"--verify of --to {target} needs {', '.join(missing)}, "
            f"which {'is' if len(missing) == 1 else 'are'} not installed"
        )


def can_verify(row: Row) -> bool:
    """True where an export of this row can be loaded by its target's own code here."""
    return bool(row.verifier) and not row.in_repo and not absent(row.verified_by)


def absent(packages: tuple[str, ...]) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in packages if util.find_spec(name) is None]


def needed(target: str) -> None:
    """Raise ExportError that names the packages which writing `target` needs and lacks."""
    if missing := absent(FORMATS.row(target).needs):
        raise ExportError(
            f"--to {target} needs {' and '.join(missing)}: pip install 'expand3d[{target}]'"
        )


def named(package: str) -> str:
    """The package with its version."""
    return f"{package} {metadata.version(package)}"


def difference(got: Tensor, wanted: Tensor) -> float:
    """The largest difference, over the largest size of `wanted` where that is above 1.

    Infinite where shapes differ.
    """
    if got.shape != wanted.shape:
        return float("inf")
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1))


def worst(run: Callable[..., Tensor], whole: Runnable) -> float:
    """The largest difference of what `run` gives from ours, for one clip and for three."""
    import torch

    apart = []
    with torch.no_grad():
        for number in (1, 3):
            clips = whole.clips(number, seed=number)
            apart.append(difference(run(*clips), whole(*clips)))
    return float(torch.tensor(apart).max())  # NaN stays NaN
