"""A table's files, and strategies run against it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError, StudyError
from expand3d.report.tabular.contest import hold
from expand3d.report.tabular.standings import agreements
from expand3d.report.tabular.write import write_table
from expand3d.search.strategy import Batch
from expand3d.search.tabular import contest, rows
from expand3d.search.tabular.columns import OF_CLIPS, OF_SCORES
from expand3d.search.tabular.contest import Entrant, Repetition, run
from expand3d.search.tabular.table import Table, read_table
from expand3d.study.config import NamedConfig
from expand3d.study.record import Record
from tests.helpers.made_table import BUDGET, CLIPS, VISITS


@pytest.fixture(scope="module")
def folder(made_table: Path) -> Path:
    return made_table


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return read_table(folder)


def test_every_column_says_what_it_holds_and_every_test_is_a_row(folder: Path) -> None:
    for file, columns in (("scores.parquet", OF_SCORES), ("clips.parquet", OF_CLIPS)):
        schema = parquet.read_schema(folder / file)
        assert schema.names == list(columns)
        for name in schema.names:
            help = schema.field(name).metadata[b"description"].decode()
            assert help == columns[name][1]
            assert (
                f"| `{name}` | {columns[name][0]} | {help} |"
                in (folder / "dictionary.md").read_text()
            )
    rows = parquet.read_table(folder / "scores.parquet").to_pylist()
    assert len(rows) == (28 + 3 + 6) * 3
    assert [row["visits"] for row in rows[:3]] == [160, 320, 640]
    assert {(len(row["val_nll"]), len(row["test_class"])) for row in rows} == {(CLIPS, CLIPS)}
    clips = parquet.read_table(folder / "clips.parquet").to_pylist()
    assert [clip["part"] for clip in clips] == ["val"] * CLIPS + ["test"] * CLIPS


def test_the_same_record_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    record = Record.open("table", root=folder.parent)
    for path in write_table(record, tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_what_was_recorded_is_what_is_read(folder: Path, table: Table) -> None:
    record = Record.open("table", root=folder.parent)
    assert len(table.rows) == 31 and table.visits == (160, 320, 640)
    for trial in record.trials():
        row = table.rows[trial.candidate.plan.digest]
        assert row.candidate.genotype == trial.candidate.genotype
        for key, training in trial.trainings.items():
            cell = row.cells[key.repeat, VISITS if key.visits is None else key.visits]
            val = [score for score in training.scores if score.key.startswith("val")]
            test = [score for score in training.scores if score.key.startswith("test")]
            assert cell.val_nll == pytest.approx([score.nll for score in val])
            assert list(cell.val_right) == [score.rank == 0 for score in val]
            assert cell.test_nll == pytest.approx(np.mean([score.nll for score in test]))
            assert cell.test_top1 == np.mean([score.rank == 0 for score in test])


def test_scores_without_training_agree_as_their_order_does(
    folder: Path, table: Table, tmp_path: Path
) -> None:
    """One that orders networks as their loss after training, one the other way round."""
    truth = {digest: row.truth(VISITS)[1] for digest, row in table.rows.items()}
    rest = dict.fromkeys(("synflow", "naswot", "grad_norm"), 0.0)
    scores = {name: {"entropy": -nll, "zico": nll, **rest} for name, nll in truth.items()}
    record = Record.open("table", root=folder.parent)
    files = write_table(record, tmp_path, untrained=scores)
    assert [path.name for path in files][-2:] == ["untrained.parquet", "dictionary.md"]
    assert "| `zico` | float64 |" in files[-1].read_text()
    found = {one.score: one.tau for one in agreements(read_table(tmp_path))}
    assert found["entropy"] == pytest.approx(1) and found["zico"] == pytest.approx(-1)
    assert {"parameters", "naswot"} <= found.keys()
    assert "entropy" not in {one.score for one in agreements(table)}


def test_a_study_without_a_table_is_refused(tmp_path: Path) -> None:
    Record.create(NamedConfig(budget="0.04GFLOPs", name="other", root=str(tmp_path)))
    with pytest.raises(StudyError, match="tabulate makes one"):
        write_table(Record.open("other", root=tmp_path), tmp_path / "out")


def test_costs_are_those_of_training_and_of_scoring_validation_clips(table: Table) -> None:
    base = table.expansion.base()
    views = 2 * CLIPS
    assert table.cost(base, 320) == base.macs * (3 * 320 + views)
    # Of 10 steps to 160 visits 2 cool down, and are thrown away.
    assert table.further(base, 160, 320) == base.macs * (3 * (320 - 128) + views)


def test_a_repetition_draws_seeds_and_groups_and_judges_nothing_by_them(table: Table) -> None:
    several = [row.candidate for row in table.rows.values() if len(row.seeds(VISITS)) == 2]
    assert len(several) == 6 and table.spread[VISITS] > 0
    first, again = (Repetition(table, 3).seen(c, VISITS) for c in (several[0], several[0]))
    assert first == again
    seen = {Repetition(table, seed).seen(several[0], VISITS) for seed in range(30)}
    assert len(seen) == 30
    row = table.rows[several[0].digest]
    mean = np.mean([row.cells[seed, VISITS].val_nll.mean() for seed in (0, 1)])
    assert np.mean([nll for nll, _ in seen]) == pytest.approx(mean, abs=0.05)


@pytest.mark.parametrize("name", ["expand", "expand@160", "tpe", "nsga2", "qmc", "random@320"])
def test_strategies_train_networks_of_the_table_each_once(name: str, table: Table) -> None:
    entrant = Entrant.named(name, table)
    limit = 4e12 if entrant.visits == VISITS else 1e12
    course = run(entrant, table, 0, limit=limit)
    digests = [seen.candidate.digest for seen in course.seen]
    assert len(set(digests)) == len(digests) and set(digests) <= set(table.rows)
    assert digests[0] == table.expansion.base().digest and course.missing is None
    costs = [table.cost(seen.candidate, entrant.visits) for seen in course.seen]
    assert [seen.spent for seen in course.seen] == list(np.cumsum(costs))
    again = run(entrant, table, 0, limit=limit)
    assert again == course
    assert run(entrant, table, 1, limit=limit) != course
    if name == "expand":
        assert {seen.candidate.step for seen in course.seen} == {0, 1, 2}
        assert all(seen.candidate.macs <= BUDGET for seen in course.seen)


def test_a_race_costs_less_and_trains_the_winners_to_their_end(table: Table) -> None:
    whole = run(Entrant.named("expand", table), table, 0, limit=1e15)
    sure = replace(table)
    sure.__dict__["spread"] = dict.fromkeys(table.visits, 0.0)
    raced = run(Entrant.named("race", sure), sure, 0, limit=1e15)
    assert raced.seen[-1].spent < whole.seen[-1].spent
    assert {seen.candidate.step for seen in raced.seen} == {0, 1, 2}
    assert len(raced.seen) < len(whole.seen)
    # What is left of each step is paid at every rung, once from the beginning to its end.
    alone = replace(table)
    alone.__dict__["spread"] = dict.fromkeys(table.visits, 100.0)  # nobody can be told apart
    free = run(Entrant.named("race", alone), alone, 0, limit=1e15)
    assert free.seen[-1].spent > whole.seen[-1].spent  # tests on the way come on top


def test_close_rows_get_the_seeds_that_the_table_has(table: Table) -> None:
    """The three best of a step, as nobody can be told apart; six networks have a second seed."""
    alone = replace(table)
    alone.__dict__["spread"] = dict.fromkeys(table.visits, 100.0)
    first = Repetition(alone, 0)
    several = {c for c, row in table.rows.items() if len(row.seeds(VISITS)) == 2}
    (race, seeded) = (
        run(Entrant.named(name, alone), alone, 0, limit=2e12) for name in ("race", "race-seeds")
    )
    step = [seen for seen in race.seen if seen.candidate.step == 1]
    best = sorted(step, key=lambda seen: first.seen(seen.candidate, VISITS))[:3]
    close = [seen.candidate for seen in best if seen.candidate.digest in several]
    assert len(close) > 1
    again = [seen for seen in seeded.seen if seen.candidate.step == 1]
    assert again[0].spent - step[0].spent == sum(table.cost(c, VISITS) for c in close)
    for seen, before in zip(again, step, strict=True):
        if seen.candidate in close:
            cells = table.rows[seen.candidate.digest].cells
            means = [cells[seed, VISITS].val_nll @ first.counts for seed in (0, 1)]
            assert seen.nll == pytest.approx(np.mean(means) / first.counts.sum())
        else:
            assert seen.nll == before.nll


def test_eight_rows_of_a_sampler_race_and_pay_what_they_take(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are named last are ranked first, so that who goes on is known."""
    asked: list[tuple[list[int], list[float]]] = []

    def last_first(prices: list[int], gains: list[float]) -> list[int]:
        asked.append((prices, gains))
        return list(range(len(prices)))[::-1]

    monkeypatch.setattr(contest, "by_fronts", last_first)
    entrant = Entrant.named("random-race", table)
    base = table.expansion.base()
    made = entrant.made(table, 0, 1)
    before = Repetition(table, 0).trial(0, base, VISITS)
    batch = made.ask([before])
    assert isinstance(batch, Batch) and len(batch.candidates) == 8
    course = run(entrant, table, 0, limit=table.cost(base, VISITS) + 1)
    four = batch.candidates[:3:-1]
    two = four[:1:-1]
    assert [seen.candidate for seen in course.seen] == [base, *two]
    assert {seen.spent for seen in course.seen[1:]} == {
        table.cost(base, VISITS)
        + sum(table.cost(c, 160) for c in batch.candidates)
        + sum(table.further(c, 160, 320) for c in four)
        + sum(table.further(c, 320, VISITS) for c in two)
    }
    first = Repetition(table, 0)
    assert asked[0] == (
        [c.macs for c in batch.candidates],
        [-first.seen(c, 160)[0] for c in batch.candidates],
    )
    assert len(asked[1][0]) == 4


@pytest.mark.parametrize("name", ["tpe-race", "nsga2-race@320"])
def test_a_model_of_a_table_that_races_is_told_of_whole_trainings(
    name: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    model = rows.Model

    def spy(sampler: str, space: object, networks: list[object], **rest: int) -> object:
        told.append(len(networks))
        return model(sampler, space, networks, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(rows, "Model", spy)
    course = run(Entrant.named(name, table), table, 0, limit=1e15)
    digests = [seen.candidate.digest for seen in course.seen]
    assert len(set(digests)) == len(digests) and set(digests) <= set(table.rows)
    # After the base, 2 or 4 of each 8.
    each = 2 if name == "tpe-race" else 4
    assert told == [1 + each, 1 + 2 * each, 1 + 3 * each]
    assert run(Entrant.named(name, table), table, 0, limit=1e15) == course


def test_an_expansion_ends_where_the_table_does(table: Table) -> None:
    early = {name: row for name, row in table.rows.items() if row.candidate.step in (0, 1)}
    course = run(Entrant.named("expand", table), replace(table, rows=early), 0, limit=1e15)
    assert course.missing is not None and course.missing.step == 2
    assert {seen.candidate.step for seen in course.seen} == {0, 1}


def test_standings_are_of_the_test_clips(table: Table) -> None:
    entrants = [Entrant.named(name, table) for name in ("expand", "random", "expand@160")]
    contest = hold(table, entrants, seeds=dict.fromkeys(("expand", "random", "expand@160"), 6))
    expand, _, short = contest.standings
    for each in contest.standings:
        means = [found.mean for found in each.hypervolume]
        assert means[-1] > 0 and all(f.low <= f.mean <= f.high for f in each.hypervolume)
    truths = [row.truth(VISITS)[0] for row in table.rows.values()]
    assert min(truths) <= expand.best[BUDGET][-1].mean <= max(truths)
    # An eighth of the visits, and the same scoring, is spent early.
    assert short.hypervolume[8].mean > expand.hypervolume[8].mean
    agreement = {found.score: found.tau for found in contest.agreements}
    assert agreement["640 visits"] > 0.3 and set(agreement) >= {"160 visits", "multiply-adds"}


def test_the_command_writes_and_compares(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"tabulate --from table --root {folder.parent} --out {tmp_path / 'table'}"
    assert main(words.split()) == 0
    out = tmp_path / "out"
    words = f"compare --table {tmp_path / 'table'} --strategies expand random --seeds 3 --out {out}"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "31 networks" in shown and "Kendall" in shown
    rows = list(csv.DictReader((out / "contest.csv").open()))
    assert {row["strategy"] for row in rows} == {"expand", "random"}
    assert (out / "contest.png").stat().st_size > 1000
    assert main([*words.split(), "--json", "--force"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == len(rows) and found[0]["seeds"] == 3


def test_what_a_table_lacks_is_refused_by_name(table: Table) -> None:
    with pytest.raises(ConfigError, match="tpee"):
        Entrant.named("tpee", table)
    with pytest.raises(ConfigError, match="160, 320, 640"):
        Entrant.named("expand@100", table)
