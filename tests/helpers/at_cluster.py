"""Two trainings on a Ray cluster, by a driver of its own: ADDRESS FOLDER are its arguments.

Ray ends a process whose cluster goes, which must not be the one that runs the tests.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from expand3d.execute import get_executor
from expand3d.execute.base import Setting
from expand3d.execute.ray_access import MODE, TOKEN, TOKEN_PATH
from tests.helpers.stages import Stage, Told


def main() -> None:
    address, folder = sys.argv[1], Path(sys.argv[2])
    stage, told = Stage(folder, ["train", "train"]), Told()
    with get_executor("ray", Setting(folder, workers=2, address=address)) as executor:
        executor.run(stage.assignments(), told, lambda: False)
    found = {
        "failures": [told.ended_[number] for number in sorted(told.ended_, key=str)],
        "statuses": sorted({training.status for training in told.trained_.values()}),
        "variables": sorted({MODE, TOKEN, TOKEN_PATH} & set(os.environ)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
