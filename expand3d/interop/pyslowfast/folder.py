"""Target `pyslowfast`: configs, weights under its names in its checkpoint format, and commands."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ExportError, Inexpressible
from expand3d.core.genotype import Genotype, Plan
from expand3d.data.crops import test_crop
from expand3d.interop import json_folder
from expand3d.interop.card import CARD, card, integers_table
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.pyslowfast import resnets, slowfast, x3d
from expand3d.interop.pyslowfast.config import complete, recipe_of, test_only, yaml
from expand3d.interop.pytorchvideo.names import to_pytorchvideo
from expand3d.interop.spelling import why_not
from expand3d.interop.torch_file import save_whole
from expand3d.interop.verify import Verified, difference
from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.weights import pyslowfast_names as names
from expand3d.networks.weights.names import renamed

if TYPE_CHECKING:
    from torch import Tensor

COMMIT = "287ec0076846560f44a9327e931a5a2360240533"
WEIGHTS = "weights.pyth"
CONFIG = "config.yaml"
#: What spells the networks of a family there: modules with `config` and `integers`.
SPELLERS: Mapping[str, ModuleType] = {
    "x3d": x3d,
    "slowfast": slowfast,
    **dict.fromkeys(("slowonly", "csn", "r2plus1d"), resnets),
}
#: Families of which no numbers of PySlowFast's own are among expand3d's tests.
UNCHECKED = ("slowonly", "csn", "r2plus1d")
#: Their own classes; all others hold a network of pytorchvideo's in `model`.
TABLES = {"X3D": names.X3D, "SlowFast": names.SLOWFAST, "ResNet": names.RESNET}
COMMANDS = """\
Written for facebookresearch/SlowFast at commit {commit}.

That commit's tools import `vision.fair.slowfast`, a path inside Meta; an importable alias of that
name for the checkout's `slowfast` repairs it. Its decoders need a torchvision whose `io` still has
`_read_video_from_memory` (0.28 has not). Paths in train.csv, val.csv and test.csv hold no space.
Fewer than 5 classes end its test in an error (top-5).

```console
$ git clone https://github.com/facebookresearch/SlowFast && cd SlowFast && git checkout {commit}
$ python tools/run_net.py --cfg FOLDER/config.yaml DATA.PATH_TO_DATA_DIR DATA
{tests}```

Its loader takes files that do not fit without an error: look for `missing` in its log.
{notes}"""


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write the folder's files; ExportError where PySlowFast cannot express the plan."""
    module, spelled = spelling(network.plan, network.genotype)
    full = complete(network, spelled)
    title = f"expand3d, {network.title}, digest {network.plan.digest}"
    (folder / CONFIG).write_text(yaml(full, title), encoding="utf-8")
    tests = _write_tests(network, full, title, folder)
    json_folder.write_description(network, folder, weights=None)
    sections = {
        "In PySlowFast": COMMANDS.format(commit=COMMIT, tests=tests, notes=_notes(network)),
        "Integers that it builds": integers_table(module.integers(spelled)),
    }
    (folder / CARD).write_text(card(network, sections), encoding="utf-8")
    if network.weights:
        state = to_pyslowfast(network.build().state_dict(), network.plan, spelled)
        save_whole({"model_state": state}, folder / WEIGHTS)


def spelling(
    plan: Plan, genotype: Genotype | None = None, *, nearest: bool = False
) -> tuple[Any, dict[str, Any]]:
    """The module that spells this family there, and the keys that build `plan`.

    ExportError where it cannot express it.
    """
    module = SPELLERS.get(plan.family)
    if module is None:
        raise ExportError(
            f"the pyslowfast target builds {', '.join(SPELLERS)} networks, and this one has "
            f"family = {plan.family!r}; --to json writes every family"
        )
    config: Callable[[Plan, Genotype | None], dict[str, Any]] = module.config
    try:
        return module, config(plan, genotype)
    except Inexpressible as error:
        raise Inexpressible(f"--to pyslowfast: {error}", error.field) from None


def refusal(plan: Plan) -> str | None:
    """The reason why PySlowFast cannot build `plan`; None where it can."""
    return why_not(spelling, plan)


def to_pyslowfast(
    state: Mapping[str, Tensor], plan: Plan, spelled: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Our weights under the names of the class that the config chooses."""
    own = TABLES.get(spelled["MODEL.MODEL_NAME"])
    if own is not None:
        return renamed(state, own)
    return {f"model.{name}": value for name, value in to_pytorchvideo(state, plan).items()}


def verify(network: ExportedNetwork, folder: Path, *, repo: Path) -> list[Verified]:
    """The folder as PySlowFast's code in the checkout `repo` reads it: every tensor, and logits."""
    import torch

    from expand3d.interop.random_weights import randomised
    from expand3d.networks.example import example

    ours, plan = network.build(), network.plan
    _, spelled = spelling(plan, network.genotype)
    (clip,) = example(plan, 2)
    found = []
    with tempfile.TemporaryDirectory(prefix="expand3d-pyslowfast-") as scratch:
        for weights in ("exported", "randomised") if network.weights else ("randomised",):
            checkpoint = folder / WEIGHTS
            if weights == "randomised":
                ours.load_state_dict(randomised(ours.state_dict()))
                checkpoint = Path(scratch) / WEIGHTS
                state = to_pyslowfast(ours.state_dict(), plan, spelled)
                save_whole({"model_state": state}, checkpoint)
            theirs = _in_checkout(repo, folder / CONFIG, checkpoint, clip, Path(scratch))
            with torch.no_grad():
                apart = difference(theirs, ours(clip))
            found.append(Verified(f"PySlowFast in {repo}", weights, apart))
    return found


def _in_checkout(repo: Path, config: Path, checkpoint: Path, clip: Tensor, scratch: Path) -> Tensor:
    """The logits that a process beside the checkout gives; ExportError with its last line."""
    from safetensors.torch import load_file, save_file

    if not (repo / "slowfast").is_dir():
        raise ExportError(f"--repo {repo} is no checkout of PySlowFast: it has no folder slowfast")
    files = scratch / "clip.safetensors", scratch / "logits.safetensors"
    save_file({"clip": clip.contiguous()}, files[0])
    script = Path(__file__).with_name("in_checkout.py")
    words = [sys.executable, script, repo, config, checkpoint, *files]
    ended = subprocess.run([str(each) for each in words], capture_output=True, text=True)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"PySlowFast in {repo} does not run the export: {last}")
    return load_file(files[1])["logits"]


def _write_tests(network: ExportedNetwork, full: dict[str, Any], title: str, folder: Path) -> str:
    """Write the configs that test alone, and return their commands."""
    commands = ""
    for views, crops in ((recipe_of(network).test_views, 1), (10, 3)):
        side = test_crop(network.plan.crop, crops)
        if not isinstance(network.plan, X3DPlan) and side % slowfast.STRIDE:
            continue  # its head would have several positions
        name = f"test_{views}x{crops}.yaml"
        config = test_only(full, views=views, crops=crops, weights=WEIGHTS)
        (folder / name).write_text(yaml(config, title), encoding="utf-8")
        paths = f"DATA.PATH_TO_DATA_DIR DATA TEST.CHECKPOINT_FILE_PATH FOLDER/{WEIGHTS}"
        commands += f"$ python tools/run_net.py --cfg FOLDER/{name} {paths}\n"
    return commands


def _notes(network: ExportedNetwork) -> str:
    """The differences of the config from the recipe, in words."""
    recipe = recipe_of(network)
    said = []
    if network.plan.family in UNCHECKED:
        said.append(
            "Not verified: this class's names and logits were never held to what its own code "
            "gives; `--verify --repo PATH` does so with a checkout."
        )
    if recipe.epochs is None:
        said.append(
            f"The recipe counts clips ({recipe.clip_visits:,} visits): set SOLVER.MAX_EPOCH to "
            "that over the clips of train.csv, and SOLVER.WARMUP_EPOCHS to "
            f"{recipe.warmup:g} of it; the file has the paper's 256."
        )
    if recipe.label_smoothing:
        said.append(f"Label smoothing {recipe.label_smoothing:g} has no key there.")
    return "\n".join(said)
