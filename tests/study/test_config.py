from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import BudgetError, ConfigError, StudyError, UserError
from expand3d.study.changes import check_resume, continued, differences
from expand3d.study.config import (
    NamedConfig,
    StudyConfig,
    as_written,
    keys,
    read_toml,
    with_flags,
)
from expand3d.study.record import Record
from expand3d.study.sections import Data, Execution, Search
from tests.helpers import ROOT

SHIPPED = ROOT / "studies"


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _load(path: Path) -> StudyConfig:
    """The configuration of a study file, read as `expand3d run FILE` does without a flag."""
    return StudyConfig.from_mapping(read_toml(path), source=str(path))


def test_a_file_holds_keys_and_recipe_fields(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "s.toml",
        'budget = "4GFLOPs"\ndata = "videos"\nfirst_clip = [4, 7]\nval_groups = ["a", "b"]\n'
        "[recipe]\nlr = 0.1\njitter = [1.0, 1.25]\nepochs = 4\n",
    )
    config = _load(path)
    assert (config.budget.text, config.data, config.first_clip) == ("4GFLOPs", "videos", (4, 7))
    assert config.val_groups == ("a", "b")
    assert config.recipe == {"lr": 0.1, "jitter": (1.0, 1.25), "epochs": 4}
    assert (config.training_recipe().lr, config.training_recipe().epochs) == (0.1, 4)
    assert config.seed == 0 and config.final and config.fps == 30 and config.ratio == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tim_limit = '2h'", "unknown key 'tim_limit' (did you mean 'time_limit'?)"),
        ("study = 'x'", "unknown key 'study': the key of the flag --study is 'name'"),
        ("Budget = '4G'", "unknown key 'Budget' (did you mean 'budget'?)"),
        ("[recipe]\nmomentun = 0.8", "the recipe has no key 'momentun' (did you mean 'momentum'?)"),
        ("[recipe]\nlr = 'high'", "recipe.lr = 'high' must be a number"),
        ("[recipe]\nflip = 1", "recipe.flip = 1 must be true or false"),
        ("[recipe]\nepochs = 2\nclip_visits = 9", "exclude each other"),
        ("schedule = 'papr'", "one of fit, paper, paper-all (did you mean 'paper'?)"),
        ("profile = 'quik'", "(did you mean 'quick'?)"),
        ("folds = 0", "folds = 0 must be a whole number of at least 1"),
        ("repeats = 1.5", "repeats = 1.5 must be a whole number"),
        ("workers = true", "workers = True must be a whole number"),
        ("seed = -1", "seed = -1"),
        ("ratio = 1", "ratio = 1 must be a number above 1"),
        ("fps = inf", "fps = inf must be a number above 0"),
        ("val = 1.0", "val = 1.0 must be a number above 0 and below 1"),
        ("val = 0.5\ntest = 0.5", "leave nothing to train"),
        ("val_groups = ['a']\ntest_groups = ['b', 'a']", "group 'a' stands in"),
        ("test_groups = [3]", "a list of names"),
        ("first_clip = [2]", "two whole numbers"),
        ("time_limit = 7200", "time_limit = 7200 must be text such as '2h'"),
        ("time_limit = '2 hours'", "time_limit = '2 hours' is not a duration"),
        ("cache_cap = '20G'", "cache_cap = '20G' is not a size"),
        ("device = 'gpu'", "auto, cpu, cuda or cuda:N"),
        ("storage = 'db.sqlite'", "a URL such as"),
        ("executor = 'proceses'", "(did you mean 'processes'?)"),
        ("devices = 'cuda:0,gpu'", "devices = 'cuda:0,gpu' must be cpu, cuda or cuda:N"),
        ("address = 'ray://head:10001'", "must be HOST:PORT such as 10.0.0.1:6379, or auto"),
        ("name = 'a/b'", "the nearest is 'a-b'"),
        ("skip_bad = 'yes'", "true or false"),
        ("final = 0", "true or false"),
        ("budget = ", "cannot be read as TOML"),
    ],
)
def test_errors_are_one_line_and_name_file_and_key(tmp_path: Path, line: str, said: str) -> None:
    path = _write(tmp_path / "s.toml", f"{line}\n" if "budget" in line else f"budget='1G'\n{line}")
    if line.startswith("Budget"):
        path = _write(path, line)
    with pytest.raises(ConfigError) as caught:
        _load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and said in message and "\n" not in message


@pytest.mark.parametrize("key", keys())
def test_a_value_of_any_type_is_legal_or_refused_in_one_line(key: str) -> None:
    for value in (None, True, 3, -1.5, "", " ", "x\n", [], [1, "a"], ["a"], {}, {"lr": []}, b"x"):
        try:
            StudyConfig(**{"budget": "1G", key: value})
        except UserError as error:
            assert str(error).startswith(key), value
            assert "\n" not in str(error)


def test_fields_of_a_recipe_are_refused_by_the_name_of_their_table() -> None:
    with pytest.raises(
        ConfigError, match=r"^final_recipe\.lr = 'x' must be a number of at least 0$"
    ):
        StudyConfig(budget="1G", final_recipe={"lr": "x"})
    with pytest.raises(ConfigError, match=r"^recipe = 3 must be a table of recipe fields$"):
        StudyConfig(budget="1G", recipe=3)
    recipe = {"clip_visits": 500, "epochs": None}
    assert StudyConfig(budget="1G", recipe=recipe).to_json()["recipe"] == recipe


def test_a_budget_is_needed_and_is_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="budget is missing"):
        _load(_write(tmp_path / "none.toml", "seed = 1"))
    with pytest.raises(ConfigError, match=r"budget = 4 must be text such as '4GFLOPs'"):
        _load(_write(tmp_path / "number.toml", "budget = 4"))
    with pytest.raises(ConfigError, match="no such study file"):
        _load(tmp_path / "missing.toml")


def test_flags_override_the_file() -> None:
    config = StudyConfig(budget="1G", recipe={"lr": 0.1, "batch": 8, "bn_batch": 8})
    changed = with_flags(config, {"budget": "2G", "recipe": {"lr": 0.2}, "workers": 2})
    assert (changed.budget.text, changed.workers) == ("2G", 2)
    assert changed.recipe == {"lr": 0.2, "batch": 8, "bn_batch": 8}
    with pytest.raises(ConfigError, match=r"did you mean 'workers'\?"):
        with_flags(config, {"worker": 2})
    with pytest.raises(ConfigError, match="folds = -3"):
        with_flags(config, {"folds": -3})


def test_the_number_of_clip_visits_replaces_a_profiles_epochs() -> None:
    config = StudyConfig(budget="1G", profile="paper", recipe={"clip_visits": 500})
    assert config.training_recipe().visits_for(100) == 500


_optional_share = st.none() | st.floats(0.01, 0.49)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "budget": st.sampled_from(["4GFLOPs", "600M", "0.5 GMACs"]),
    "name": st.none() | st.from_regex(r"s[a-z0-9_-]{0,20}[a-z0-9]", fullmatch=True),
    "data": st.text("abc/._é ", min_size=1).filter(lambda text: text.strip() == text),
    "prefix": st.none() | st.just("videos"),
    "val_data": st.none() | st.just("val.txt"),
    "start": st.none() | st.just("x3d-xs"),
    "profile": st.sampled_from(["quick", "standard", "paper", "final"]),
    "recipe": st.fixed_dictionaries(
        {}, optional={"lr": st.floats(0.001, 9), "flip": st.booleans(), "jitter": st.just((1, 2))}
    ),
    "final_recipe": st.fixed_dictionaries({}, optional={"clip_visits": st.integers(1, 9)}),
    "seed": st.integers(0, 2**31),
    "strategy": st.sampled_from(["expand", "tpe", "grid"]),
    "trials": st.integers(1, 500),
    "batch": st.integers(1, 8),
    "training_limit": st.none() | st.just("2.5TMACs"),
    "schedule": st.sampled_from(["fit", "paper", "paper-all"]),
    "beam": st.integers(1, 9),
    "growth": st.sampled_from(["single", "compound", "both"]),
    "ratio": st.floats(1.01, 10),
    "first_clip": st.tuples(st.integers(1, 16), st.integers(1, 30)),
    "select": st.sampled_from(["auto", "top1", "mean_class", "nll"]),
    "folds": st.integers(1, 10),
    "repeats": st.integers(1, 5),
    "fps": st.floats(0.5, 240),
    "val": _optional_share,
    "test": _optional_share,
    "val_groups": st.just(()) | st.just(("a",)),
    "test_groups": st.lists(st.text("xyz", min_size=1)).map(tuple),
    "skip_bad": st.booleans(),
    "cache_cap": st.just("5GB"),
    "group_by_name": st.booleans(),
    "allow_same": st.booleans(),
    "flow": st.sampled_from(["dis", "farneback"]),
    "flow_size": st.integers(16, 512),
    "flow_distance": st.integers(1, 30),
    "flow_bound": st.floats(0.5, 40),
    "flow_data": st.none() | st.just("flow"),
    "latencies": st.none() | st.just("pi5.csv"),
    "expressible_in": st.just(()) | st.just(("pyslowfast", "mmaction2")),
    "init": st.sampled_from(["scratch", "parent", "./x3d-m", "other-study"]),
    "rungs": st.just(()) | st.just((125, 250)),
    "draws": st.integers(0, 40),
    "repeated": st.integers(0, 60),
    "only_first": st.none() | st.integers(1, 9),
    "score_test": st.booleans(),
    "confirm": st.booleans(),
    "final": st.booleans(),
    "device": st.sampled_from(["auto", "cpu", "cuda:1"]),
    "threads": st.none() | st.integers(1, 64),
    "final_threads": st.none() | st.integers(1, 64),
    "executor": st.sampled_from(["here", "processes", "ray"]),
    "workers": st.none() | st.integers(1, 8),
    "devices": st.just(()) | st.just(("cuda:0", "cuda:1")),
    "address": st.none() | st.just("10.0.0.1:6379"),
    "time_limit": st.none() | st.just("1h30m"),
    "candidate_timeout": st.none() | st.just("45m"),
    "storage": st.none() | st.just("postgresql+psycopg2://me@host/db"),
    "race": st.booleans(),
    "more_seeds": st.integers(0, 3),
}
#: Which keys only the expansion uses, and which only samplers.
_EXPANSIONS = {"schedule": "paper", "beam": 3, "growth": "both", "ratio": 1.5}
_SAMPLERS = {"trials": 60, "batch": 4, "training_limit": "2.5TMACs"}
_TABLES = {"rungs": (125,), "draws": 4, "repeated": 2, "only_first": 3, "score_test": True}


def _fitting(values: dict[str, Any]) -> dict[str, Any]:
    """Values without those of another strategy; a second list stands beside a first one."""
    if values.get("val_data"):
        values = {"data": "train.txt", **values}
    if values.get("strategy", "expand") != "expand" and values.get("init") == "parent":
        values = {**values, "init": "scratch"}
    if values.get("init") != "parent":
        values = {key: value for key, value in values.items() if key != "confirm"}
    if values.get("beam", 1) > 1 or values.get("profile") == "paper":
        values = {key: value for key, value in values.items() if key != "race"}
    others = _SAMPLERS if values.get("strategy", "expand") == "expand" else _EXPANSIONS
    foreign = {*others, *_TABLES}
    if others is _EXPANSIONS and values.get("batch") == 1:
        foreign.add("race")
    if others is _EXPANSIONS or values.get("init") == "parent" or not values.get("race"):
        foreign.add("more_seeds")
    return {key: value for key, value in values.items() if key not in foreign}


def test_a_batch_that_races_is_eight_where_nobody_says_otherwise() -> None:
    assert StudyConfig(budget="1G", strategy="tpe", race=True).batch == 8
    assert StudyConfig(budget="1G", strategy="tpe", race=True, batch=3).batch == 3
    assert StudyConfig(budget="1G", strategy="tpe").batch == 1
    assert StudyConfig(budget="1G", race=True).batch == 1


@given(values=st.fixed_dictionaries({key: _VALUES[key] for key in _TABLES}))
def test_json_gives_the_configuration_of_a_table_back(values: dict[str, Any]) -> None:
    config = StudyConfig.from_mapping({"budget": "4GFLOPs", "strategy": "tabulate", **values})
    assert StudyConfig.from_mapping(json.loads(json.dumps(config.to_json()))) == config


@given(
    values=st.fixed_dictionaries(
        {"budget": _VALUES["budget"]},
        optional={key: value for key, value in _VALUES.items() if key != "budget"},
    ).map(_fitting)
)
def test_json_gives_the_same_configuration_back(values: dict[str, Any]) -> None:
    config = StudyConfig.from_mapping(values)
    text = json.dumps(config.to_json(), allow_nan=False)
    assert StudyConfig.from_mapping(json.loads(text)) == config
    for key, value in values.items():
        assert as_written(getattr(config, key)) == as_written(value)


def test_the_property_test_knows_every_key() -> None:
    assert set(_VALUES) | {"root", "family"} == set(keys())


def test_values_are_parsed_once_in_sections() -> None:
    config = StudyConfig(
        budget="4G,25ms@cuda",
        strategy="tpe",
        training_limit="2.5TMACs",
        time_limit=" 1h30m ",
        candidate_timeout="45s",
        cache_cap="2GiB",
    )
    assert [limit.amount for limit in config.budget.limits] == [4 * 10**9, 25 * 10**6]
    assert config.budget.limits[1].device == "cuda"
    assert config.training_limit.macs == 25 * 10**11
    assert (config.time_limit.seconds, config.candidate_timeout.seconds) == (5400, 45)
    assert config.cache_cap.bytes == 2 * 2**30
    # What was parsed is taken as it is, and what is stored is what was written.
    again = StudyConfig(**{key: getattr(config, key) for key in keys()})
    assert again == config
    stored = {key: again.to_json()[key] for key in ("budget", "training_limit", "time_limit")}
    assert stored == {"budget": "4G,25ms@cuda", "training_limit": "2.5TMACs", "time_limit": "1h30m"}
    data = Data(fps=25, cache_cap="1GB")
    assert (data.fps, data.cache_cap.bytes, data.data) == (25.0, 10**9, "bundled")
    with pytest.raises(ConfigError, match=r"unknown key 'budgett' \(did you mean 'budget'\?\)"):
        Search(budget="1G", budgett="2G")
    with pytest.raises(ConfigError, match=r"threads = 0 must be a whole number of at least 1"):
        Execution(threads=0)


def test_a_study_that_begins_has_a_name() -> None:
    config = StudyConfig(budget="1G", ratio=3)
    named = config.called("birds")
    assert named.to_json() == {**config.to_json(), "name": "birds"}
    assert dataclasses.replace(named, threads=2).absolute().name == "birds"
    with pytest.raises(ConfigError, match="the nearest is 'a-b'"):
        config.called("a/b")
    with pytest.raises(ConfigError, match="name is missing"):
        NamedConfig(budget="1G")


def test_a_budget_that_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.toml", "budget = '4 apples'")
    with pytest.raises(BudgetError) as caught:
        _load(path)
    assert str(caught.value).startswith(f"{path}: budget = '4 apples' is not a number")


def test_a_password_is_not_kept() -> None:
    config = StudyConfig(budget="1G", storage="mysql://me:s3cret@host:3306/db?x=a@b")
    assert config.to_json()["storage"] == "mysql://me:***@host:3306/db?x=a@b"


def test_other_threads_of_a_study_choose_those_of_its_last_training_anew() -> None:
    old = StudyConfig(budget="1G", threads=2, final_threads=8)
    for changes, wanted in (
        ({"executor": "processes", "workers": 4}, (2, 8)),
        ({"threads": 2}, (2, 8)),
        ({"threads": 3}, (3, None)),
        ({"threads": 3, "final_threads": 6}, (3, 6)),
        ({"final_threads": 6}, (2, 6)),
    ):
        new = continued(old, changes)
        assert (new.threads, new.final_threads) == wanted
        check_resume(old, new)


def test_resume_may_change_where_and_how_fast_but_not_what() -> None:
    old = StudyConfig(budget="1G", name="birds", data="/a", ratio=2)
    free = {"data": "/b", "device": "cpu", "workers": 2, "threads": 1, "time_limit": "1h"}
    free |= {"executor": "ray", "devices": ("cuda:0",), "address": "auto"}
    free |= {"storage": "sqlite:///x.db", "cache_cap": "1GB", "root": "elsewhere", "prefix": "p"}
    check_resume(old, with_flags(old, free))
    assert set(differences(old, with_flags(old, free)).allowed) == set(free)
    new = with_flags(old, {"workers": 2, "ratio": 3.0, "recipe": {"lr": 0.1}})
    assert differences(old, new).refused == ("recipe", "ratio")
    with pytest.raises(StudyError, match=r"'birds' cannot change .*ratio \(2.0 to 3.0\)"):
        check_resume(old, new)
    sampler = StudyConfig(budget="1G", name="birds", data="/a", strategy="tpe")
    more = with_flags(sampler, {"budget": "2G", "trials": 60, "data": "/b"})
    assert dataclasses.astuple(differences(sampler, more)) == (("data",), (), ("budget", "trials"))
    check_resume(sampler, more)  # that neither becomes less is judged where budgets can be read


@pytest.mark.parametrize(
    ("strategies", "foreign", "user"),
    [
        (("tpe", "nsga2", "nsga3", "gp", "qmc", "random", "grid"), _EXPANSIONS, "'expand'"),
        (("expand",), _SAMPLERS, "a sampler such as 'tpe'"),
    ],
)
def test_what_a_strategy_does_not_use_is_refused(
    strategies: tuple[str, ...], foreign: dict[str, Any], user: str
) -> None:
    for strategy in strategies:
        for key, value in foreign.items():
            said = f"{key} = {value!r} does nothing with strategy = {strategy!r}; .* {user}, which"
            with pytest.raises(ConfigError, match=said):
                StudyConfig(budget="1G", strategy=strategy, **{key: value})
        usual = {key: keys()[key].default for key in foreign}  # says what would be so anyway
        assert StudyConfig(budget="1G", strategy=strategy, **usual).strategy == strategy
        own = _SAMPLERS if foreign is _EXPANSIONS else _EXPANSIONS
        StudyConfig(budget="1G", strategy=strategy, first_clip=(8, 5), **own)


def test_paths_become_absolute_but_the_bundled_data_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = StudyConfig(budget="1G", data="videos", prefix="frames").absolute()
    assert (config.data, config.prefix) == (str(tmp_path / "videos"), str(tmp_path / "frames"))
    assert StudyConfig(budget="1G").absolute().data == "bundled"


def test_devices_are_a_list_or_separated_by_commas_and_say_how_many_train() -> None:
    for devices in ("cuda:0,cuda:1", ["cuda:0", "cuda:1"], ["cuda:0,cuda:1"]):
        config = StudyConfig(budget="1G", devices=devices)  # type: ignore[arg-type]
        assert config.devices == ("cuda:0", "cuda:1") and config.at_a_time == 2
    assert StudyConfig(budget="1G").at_a_time == 1
    assert StudyConfig(budget="1G", workers=3, devices=("cpu",)).at_a_time == 3
    # A sampler's batch bounds what can be trained at once.
    assert StudyConfig(budget="1G", workers=3, strategy="tpe", batch=2).side_by_side == 2


def test_every_key_has_a_help_text() -> None:
    assert all(item.metadata["help"] for item in keys().values())
    assert len(keys()) == len(dataclasses.fields(StudyConfig))


@pytest.mark.parametrize("name", ["quickstart", "paper", "small-dataset", "latency"])
def test_shipped_studies_load_and_say_their_command(name: str) -> None:
    path = SHIPPED / f"{name}.toml"
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"expand3d run studies/{name}.toml" in line for line in header)
    assert _load(path).name == name


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_a_record_stores_the_same_bytes_as_before(name: str, tmp_path: Path) -> None:
    frozen = ROOT / "tests/assets/records/v0.1/studies"
    record = Record.open(name, root=shutil.copytree(frozen, tmp_path / "studies"))
    stored = record.attribute("config")
    again = NamedConfig.from_mapping(stored).to_json()
    assert json.dumps(again) == json.dumps(stored)
