"""Networks read from CSV: spellings, defaults, and errors that name file, line and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from expand3d.core.errors import DataError
from expand3d.core.genotype import Genotype
from expand3d.cost.csv_table import read_networks
from expand3d.networks import get_preset
from expand3d.networks.families.x3d import FAMILY


def write(folder: Path, text: str) -> Path:
    path = folder / "nets.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str, start: Genotype = FAMILY.base) -> list[Genotype]:
    return [row.genotype for row in read_networks(write(folder, text), start).rows]


def test_factors_and_foreign_words_say_the_same(tmp_path: Path) -> None:
    ours = "gamma_t,gamma_tau,gamma_s,gamma_w,gamma_d,gamma_b\n16,5,2.0,1,2.2,2.25\n"
    theirs = (
        "crop,frames,frame_stride,width_factor,depth_factor,bottleneck_factor\n"
        "224,16,5,2.0,2.2,2.25\n"
    )
    medium = get_preset("x3d-m").genotype
    assert read(tmp_path, ours) == read(tmp_path, theirs) == [medium]


def test_what_is_not_given_is_the_start_s(tmp_path: Path) -> None:
    start = get_preset("x3d-s").genotype
    text = "name,gamma_w,num_classes,note\na,1.5,\n\nb,,10,x\n".replace("1.5,\n", "1.5,,\n")
    networks = read_networks(write(tmp_path, text), start, num_classes=51)
    assert [row.genotype for row in networks.rows] == [start.replace(gamma_w=1.5), start]
    assert [row.plan.num_classes for row in networks.rows] == [51, 10]
    assert networks.ignored == ("name", "note")


def test_spreadsheets_write_a_byte_order_mark_and_spaces(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff gamma_w , gamma_t\r\n 2 , 4 \r\n") == [
        FAMILY.base.replace(gamma_w=2, gamma_t=4)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop,frames\n112,1\n112,four\n", "line 3, column 'frames': 'four' is not a number"),
        ("crop\n112\n\nnan\n", "line 4, column 'crop': 'nan' is not a number"),
        (
            "crop,frames\n112,4.5\n",
            "line 2, column 'frames': gamma_t = 4.5 must be a whole number; the nearest is 4",
        ),
        (
            "frames,width_factor\n4,2\n4,99\n",
            "line 3, column 'width_factor': gamma_w = 49.5 is outside 0.333333 to 8; "
            "the nearest legal value is 8",
        ),
        (
            "crop,num_classes\n112,0\n",
            "line 2, column 'num_classes': 0 must be a whole number from 1; the nearest is 1",
        ),
        ("crop,num_classes\n112,2.6\n", "2.6 must be a whole number from 1; the nearest is 3"),
        ("crop,frames\n112\n", "line 2, column 'frames': the row ends after 1 cells"),
        ("crop,widht_factor\n112,2\n", "unknown column 'widht_factor' (did you mean 'width_"),
        ("crop,gamma_s\n112,1\n", "line 1: columns 'crop' and 'gamma_s' both say gamma_s"),
        ("name,accuracy\nx,1\n", "line 1: no column is a factor of x3d (those are gamma_tau, "),
        ("crop\n", "has no rows below its header"),
        ("", "line 1: no column is a factor"),
    ],
)
def test_a_bad_file_is_refused_by_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "nets.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: No such file"):
        read_networks(tmp_path / "gone.csv", FAMILY.base)
    with pytest.raises(DataError, match="Is a directory"):
        read_networks(tmp_path, FAMILY.base)
    binary = tmp_path / "clip.csv"
    binary.write_bytes(b"crop\n\xff\xfe\x00\n")
    with pytest.raises(DataError, match=r"clip\.csv is not a CSV file in UTF-8"):
        read_networks(binary, FAMILY.base)
