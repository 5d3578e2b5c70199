"""One of two processes that train a toy together; started by torchrun's variables.

With `die` as second argument the process of rank 1 is killed in its third step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from expand3d.core.extras import Extras
from expand3d.training import loop
from expand3d.training.full import Full
from expand3d.training.peers import together
from expand3d.training.tasks.classify import train
from tests.helpers.train_toys import make_plan, make_recipe, make_store

#: Ten steps of four passes of four clips, dropout on; the store's other clips validate and test.
RECIPE = make_recipe(clip_visits=160, batch=16)
TRAIN, VAL, TEST = tuple(range(16)), (16, 17, 18, 19), (20, 21, 22, 23)


def main(folder: Path, *, die: bool = False) -> None:
    if die and os.environ.get("RANK") == "1":
        one_step = loop.Loop._one_step

        def step_or_die(self, *args):  # type: ignore[no-untyped-def]
            if self.step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            one_step(self, *args)

        loop.Loop._one_step = step_or_die  # type: ignore[method-assign]
    with together() as peers:
        full = Full(Extras(ema=0.9), val=VAL, best=folder / "best.safetensors", peers=peers)
        train(
            make_plan(),
            make_store(),
            train_indices=TRAIN,
            eval_indices=TEST,
            recipe=RECIPE,
            seed=5,
            forward_macs=1000,
            threads=1,
            checkpoint=folder / "c.pt",
            weights_out=folder / "w.safetensors",
            full=full,
        )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), die="die" in sys.argv)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
