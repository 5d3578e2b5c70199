"""`expand3d cost` and `expand3d presets` as a user or a script calls them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from tests.helpers.study_config import with_short_looks

GOLDEN = Path(__file__).parents[1] / "networks/families/golden/x3d_pytorchvideo_complexity.csv"
Capture = pytest.CaptureFixture[str]

# X3D-S, by the paper (1.96 G, 3.76 M), by pytorchvideo with fvcore, and by the modules' shapes.
X3D_S = {
    "macs": 1_962_892_112,
    "fvcore_flops": 2_031_781_712,
    "params": 3_794_322,
    "params_without_bn": 3_762_858,
    "fvcore_flops_pytorchvideo": 2_030_783_312,
    "params_pytorchvideo": 3_794_274,
    "macs_10_view": 19_628_921_120,
    "macs_30_view": 81_658_000_680,
    "test_crop": 182,
}


def run_json(capsys: Capture, *words: str) -> Any:
    assert main(["cost", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Capture, *words: str) -> str:
    """The one line that says why."""
    assert main(["cost", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_json_of_a_preset(capsys: Capture) -> None:
    record = run_json(capsys, "--preset", "x3d-s")
    assert {key: record[key] for key in X3D_S} == X3D_S
    assert record["plan"]["depths"] == [3, 5, 11, 7]
    assert record["plan"]["frames"] == 13 and record["plan"]["stride"] == 6
    assert record["genotype"]["factors"]["gamma_b"] == 2.25
    assert "1 clip" in record["conventions"]["macs"]
    numbers = set(record) - {"plan", "genotype", "conventions", "test_crop"}
    assert numbers == set(record["conventions"])


def test_set_starts_from_the_base_or_from_a_preset(capsys: Capture) -> None:
    words = ["gamma_tau=6", "gamma_t=13", "crop=160", "gamma_d=2.2", "gamma_b=2.25"]
    flags = [flag for word in words for flag in ("--set", word)]
    record = run_json(capsys, "--family", "x3d", *flags)
    assert record["macs"] == X3D_S["macs"]
    # X3D-XL is X3D-L made wider: 35.84 G, 11.0 M.
    record = run_json(capsys, "--preset", "x3d-l", "--set", "gamma_w=1.45")
    assert round(record["macs"] / 1e9, 2) == 35.84
    assert record["plan"]["widths"] == [32, 72, 136, 280]


def test_num_classes(capsys: Capture) -> None:
    ten = run_json(capsys, "--preset", "x3d-s", "--num-classes", "10")
    assert X3D_S["params"] - ten["params"] == 390 * 2049
    assert X3D_S["macs"] - ten["macs"] == 390 * 2048


def test_table_says_every_number_with_its_convention(capsys: Capture) -> None:
    assert main(["cost", "--preset", "x3d-s", "--stages", "--operators"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for key, words in {
        "macs": ("1,962,892,112", "1.963 G", "multiply-adds of conv + linear, 1 clip"),
        "macs_10_view": ("19,628,921,120", "10 clips x 1 train crop"),
        "macs_30_view": ("81,658,000,680", "10 clips x 3 test crops"),
        "fvcore_flops": ("2,031,781,712", "eval mode"),
        "fvcore_flops_pytorchvideo": ("2,030,783,312", "as pytorchvideo builds it"),
        "params": ("3,794,322", "every learned number"),
        "params_without_bn": ("3,762,858", "less BatchNorm"),
        "params_pytorchvideo": ("3,794,274", "as pytorchvideo builds it"),
        "activations": ("36,447,368", "convolution outputs"),
        "res4": ("709,435,872",),
        "stem.spatial": ("conv1", "conv", "53,913,600", "648", "1,996,800"),
    }.items():
        assert all(word in lines[key] for word in words), lines[key]
    assert "train crop 160, test crop 182" in out


def test_json_of_stages_and_operators(capsys: Capture) -> None:
    record = run_json(capsys, "--preset", "x2d", "--stages", "--operators")
    assert sum(stage["macs"] for stage in record["stages"].values()) == record["macs"]
    assert sum(operator["params"] for operator in record["operators"]) == record["params"]
    # conv1 at 56 x 56: 24 x 27 weights.
    assert record["operators"][0] == {
        "name": "stem.spatial",
        "stage": "conv1",
        "kind": "conv",
        "flops": 24 * 27 * 56 * 56,
        "params": 24 * 27,
        "outputs": 24 * 56 * 56,
    }


def test_from_csv_gives_pytorchvideo_s_totals_of_every_row(capsys: Capture) -> None:
    assert main(["cost", "--from", str(GOLDEN), "--json"]) == 0
    out, err = capsys.readouterr()
    with GOLDEN.open() as file:
        expected = [(int(row["flops"]), int(row["params"])) for row in csv.DictReader(file)]
    records = json.loads(out)
    assert len(expected) == 150
    assert [
        (record["fvcore_flops_pytorchvideo"], record["params_pytorchvideo"]) for record in records
    ] == expected
    assert "ignored columns: flops, params" in err


def test_csv_can_be_read_again(capsys: Capture, tmp_path: Path) -> None:
    assert main(["cost", "--from", str(GOLDEN), "--csv"]) == 0
    first = capsys.readouterr().out
    again = tmp_path / "again.csv"
    again.write_text(first)
    assert main(["cost", "--from", str(again), "--csv"]) == 0
    assert capsys.readouterr().out == first
    rows = list(csv.DictReader(io.StringIO(first)))
    assert len(rows) == 150
    assert json.loads(rows[1]["plan"])["crop"] == 160
    assert int(rows[1]["fvcore_flops_pytorchvideo"]) == 2_030_783_312


def test_csv_of_one_network_and_a_table_of_many(capsys: Capture) -> None:
    assert main(["cost", "--preset", "x3d-s", "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert int(row["macs"]) == X3D_S["macs"] and row["num_classes"] == "400"
    assert main(["cost", "--from", str(GOLDEN)]) == 0
    out = capsys.readouterr().out
    assert "150 networks" in out and "1.963 G" in out and "30_view" in out
    assert "macs: multiply-adds of conv + linear" in out


def test_a_long_table_says_that_it_is_cut(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("gamma_t\n" + "1\n" * 201)
    assert main(["cost", "--from", str(path)]) == 0
    assert "The first 200 are shown; --csv and --json write all" in capsys.readouterr().out


def test_measure_adds_fvcore_and_names_what_it_does_not_count(
    capsys: Capture, tmp_path: Path
) -> None:
    small = ["--preset", "x2d", "--set", "crop=32", "--num-classes", "5"]
    record = run_json(capsys, *small, "--measure")
    assert record["measured"]["total"] == record["fvcore_flops"]
    assert set(record["measured"]["by_operator"]) == {"conv", "batch_norm", "linear"}
    assert record["measured"]["uncounted"]["aten::silu"] == 11
    assert main(["cost", *small, "--measure"]) == 0
    out = capsys.readouterr().out
    assert "equal to the arithmetic" in out
    assert "not counted by fvcore: aten::add x11" in out
    path = tmp_path / "one.csv"
    path.write_text("crop,num_classes\n32,5\n")
    assert main(["cost", "--from", str(path), "--measure", "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert int(row["fvcore_measured"]) == record["fvcore_flops"]
    assert main(["cost", "--from", str(path), "--measure"]) == 0
    assert f"{record['fvcore_flops']:,}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "which network? for example: expand3d cost --preset x3d-s"),
        (("--preset", "x3d-q"), "unknown preset 'x3d-q' (did you mean"),
        (("--family", "x4d"), "unknown family 'x4d' (did you mean 'x3d'?)"),
        (("--preset", "x3d-s", "--set", "gama_w=2"), "no factor 'gama_w' (did you mean 'gamma_w'"),
        (("--preset", "x3d-s", "--set", "gamma_w"), "--set 'gamma_w' must be NAME=NUMBER"),
        (("--preset", "x3d-s", "--set", "gamma_w=nan"), "must be NAME=NUMBER"),
        (("--preset", "x3d-s", "--set", "gamma_w=99"), "the nearest legal value is 8"),
        (("--preset", "x3d-s", "--num-classes", "0"), "num_classes = 0 must be at least 1"),
        (("--preset", "x3d-s", "--csv", "--stages"), "in a table or with --json"),
        (("--from", "no/such.csv"), "no/such.csv: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(capsys: Capture, words: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, *words)


def test_a_bad_csv_is_refused_by_file_line_and_column(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "nets.csv"
    path.write_text("crop,frames\n112,1\n112,0\n")
    line = refused(capsys, "--from", str(path), "--csv")
    assert f"{path}, line 3, column 'frames': gamma_t = 0 is outside" in line
    assert "nearest legal value is 1" in line


def test_presets_stand_beside_what_was_printed(capsys: Capture) -> None:
    assert main(["presets", "--family", "x3d", "--json"]) == 0
    records = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
    assert list(records) == ["x2d", "x3d-xs", "x3d-s", "x3d-m", "x3d-l", "x3d-xl"]
    printed = {
        name: {figure["what"]: figure["published"] for figure in record["figures"]}
        for name, record in records.items()
    }
    # The paper's Tables 1, 2 and 4.
    assert printed["x2d"] == {"macs": "20.67 M", "params": "1.63 M"}
    assert printed["x3d-s"] == {"macs": "1.96 G", "params": "3.76 M", "top1": "72.9"}
    assert printed["x3d-xl"] == {"macs": "35.84 G", "params": "11.0 M", "top1": "78.4"}
    computed = {figure["what"]: figure["computed"] for figure in records["x3d-s"]["figures"]}
    assert computed == {"macs": X3D_S["macs"], "params": X3D_S["params_without_bn"], "top1": None}
    for record in records.values():
        for figure in record["figures"]:
            assert figure["convention"] and figure["source"]


def test_the_table_of_presets(capsys: Capture) -> None:
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["x3d-s"]]
    for word in ("13 x 6, 160", "1.963 G", "1.96 G", "conv + linear", "arXiv 2004.04730"):
        assert word in line
    assert main(["presets", "--family", "x33d"]) == 2


LIGHT = """
import contextlib, io, sys
from expand3d.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    with contextlib.suppress(SystemExit):
        main(sys.argv[1:])
print(*sorted({"torch", "optuna", "av", "ray", "matplotlib", "fvcore"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["cost", "--help"],
        ["cost", "--preset", "x3d-s"],
        ["cost", "--from", str(GOLDEN), "--json"],
        ["presets"],
    ],
)
def test_no_heavy_library_is_loaded(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_latency_is_measured_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_short_looks(monkeypatch)
    tiny = ["cost", "--family", "x3d", "--set", "crop=32", "--num-classes", "3"]
    assert main([*tiny, "--latency", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["latency"]
    assert 0 < found["low"] <= found["median"] <= found["high"]
    assert (found["device"], found["threads"]) == ("cpu", 1) and found["runs"] >= 1
    assert main([*tiny, "--latency"]) == 0
    assert "latency: " in capsys.readouterr().out
    assert main([*tiny, "--device", "cpu"]) == 2
    assert "add --latency" in capsys.readouterr().err


def test_a_row_for_each_runtime(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(plan: Plan, *, device: str, threads: int | None) -> Latency:
        asked.append((device, threads))
        return Latency(3.0, 2.5, 4.0, 20, device, "abacus", threads or 4, f"made up {device}")

    monkeypatch.setattr("expand3d.measure.latency.measure_latency", measured)
    monkeypatch.setattr(
        "expand3d.measure.runtimes.absent", lambda needs: [n for n in needs if n == "openvino"]
    )
    words = ["cost", "--preset", "x3d-xs", "--latency", "all", "--threads", "2"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["latencies"]
    names = ["torch", "onnxruntime", "openvino", "onnxruntime-int8", "openvino-int8"]
    assert list(found) == names
    assert found["openvino"] is None and found["onnxruntime"]["median"] == 3.0
    assert asked == [("cpu", 2), ("onnxruntime", 2), ("onnxruntime-int8", 2)]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert "3 ms (2.5 to 4)" in table and "expand3d[openvino]" in table and "abacus" in table
    assert main([*words, "--csv"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    row = dict(zip(next(csv.reader([head])), next(csv.reader([line])), strict=True))
    assert row["latency_onnxruntime_median"] == "3.0" and row["latency_openvino_median"] == ""
    assert main(["cost", "--preset", "x3d-xs", "--latency", "openvino"]) == 2
    assert "latency in openvino needs openvino" in capsys.readouterr().err
    assert main(["cost", "--preset", "x3d-xs", "--latency", "onnx"]) == 2
    assert "did you mean 'onnxruntime'?" in capsys.readouterr().err
    words = ["cost", "--preset", "x3d-xs", "--latency", "onnxruntime", "--device", "cuda"]
    assert main(words) == 2
    assert "onnxruntime runs on the CPU" in capsys.readouterr().err
