"""A table as Syne Tune's blackbox, on which its own schedulers run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from expand3d.core.errors import ConfigError
from expand3d.report.tabular.blackbox import OBJECTIVES, blackbox, networks
from expand3d.search.tabular.table import Table, read_table


@pytest.fixture(scope="module")
def table(made_table: Path) -> Table:
    return read_table(made_table)


def test_without_syne_tune_one_line_says_how_to_get_it(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "syne_tune", None)
    monkeypatch.setitem(sys.modules, "syne_tune.blackbox_repository", None)
    with pytest.raises(ConfigError, match=r"pip install 'syne-tune\[blackbox-repository\]'"):
        blackbox(table)


def test_what_is_asked_is_what_the_table_holds(table: Table) -> None:
    pytest.importorskip("syne_tune")
    found, rows = blackbox(table), networks(table)
    macs = [row.candidate.macs for row in rows]
    assert macs == sorted(macs) and len(rows) == 31
    for number in (0, 17, 30):
        row = rows[number]
        for rung, visits in enumerate(table.visits, start=1):
            answer = found({"network": number, "family": "x3d"}, {"rung": rung}, seed=1)
            assert list(answer) == list(OBJECTIVES)
            there = row.seeds(visits)
            cell = row.cells[there[1 % len(there)], visits]
            assert answer["val_nll"] == pytest.approx(float(cell.val_nll.mean()))
            assert answer["test_error"] == pytest.approx(1 - cell.test_top1)
            assert answer["macs"] == row.candidate.macs
        spent = found({"network": number, "family": "x3d"}, seed=0)[:, OBJECTIVES.index("tmacs")]
        assert (np.diff(spent) > 0).all()
        assert spent[0] * 1e12 == pytest.approx(table.cost(row.candidate, table.visits[0]))


def test_schedulers_of_syne_tune_run_on_it(table: Table, tmp_path: Path) -> None:
    pytest.importorskip("syne_tune")
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository import UserBlackboxBackend
    from syne_tune.optimizer.baselines import ASHA

    box = blackbox(table)
    tuner = Tuner(
        trial_backend=UserBlackboxBackend(blackbox=box, elapsed_time_attr="tmacs"),
        scheduler=ASHA(
            box.configuration_space,
            metric="val_nll",
            time_attr="rung",
            max_t=len(table.visits),
            random_seed=0,
        ),
        stop_criterion=StoppingCriterion(max_wallclock_time=40),
        n_workers=1,
        sleep_time=0,
        callbacks=[SimulatorCallback()],
        results_update_interval=600,
        save_tuner=False,
        tuner_name="made",
    )
    tuner.run()
    assert (
        len(tuner.trial_backend.trial_ids) > 3
        if hasattr(tuner.trial_backend, "trial_ids")
        else True
    )
