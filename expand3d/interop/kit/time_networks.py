"""Times the networks beside this file, one clip at a time; needs onnxruntime and numpy alone.

    python time_networks.py --device pi5 --threads 4 > pi5.csv

Keep the device otherwise idle. `expand3d run --budget 25ms@pi5 --latencies pi5.csv` reads the CSV.
"""

import argparse
import csv
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

HERE, WARM_UP, BURSTS, PASSES = Path(__file__).parent, 3, 5, 15


def timed(session: onnxruntime.InferenceSession) -> tuple[float, float, float]:
    """Quartiles and median in ms of the quietest burst: all else a device does only adds time."""
    inputs = {
        each.name: np.random.RandomState(0).randn(1, *each.shape[1:]).astype(np.float32)
        for each in session.get_inputs()
    }
    bursts = []
    for passes in (WARM_UP, *[PASSES] * BURSTS):
        times = []
        for _ in range(passes):
            before = time.perf_counter()
            session.run(None, inputs)
            times.append(1000 * (time.perf_counter() - before))
        bursts.append(times)
    low, median, high = np.percentile(min(bursts[1:], key=np.median), (25, 50, 75))
    return float(low), float(median), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description="times the networks of networks.csv")
    parser.add_argument("--device", required=True, help="a name for this device, such as pi5")
    parser.add_argument("--threads", type=int, default=1, help="threads of one pass (1)")
    asked = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked.threads
    rows = list(csv.DictReader((HERE / "networks.csv").open(newline="", encoding="utf-8")))
    for row in rows:
        file = str(HERE / row["file"])
        low, median, high = timed(
            onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        )
        row.update(device=asked.device, median_ms=f"{median}", low_ms=f"{low}", high_ms=f"{high}")
        row.update(passes=f"{PASSES}", threads=f"{asked.threads}")
        row.update(hardware=platform.processor() or platform.machine())
        row.update(setting=f"float32, onnxruntime {onnxruntime.__version__}")
        print(f"{row['name']}: {median:.3g} ms ({low:.3g} to {high:.3g})", file=sys.stderr)
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
