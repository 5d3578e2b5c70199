"""Keys of a study that only some strategies use, as the rows of `core/plugins.py` say.

What nobody uses must not be set: it would promise something. `first_clip` is everybody's, since a
sampler's ranges reach as far as that clip leads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from expand3d.core.errors import ConfigError
from expand3d.core.plugins import STRATEGIES
from expand3d.core.trial import PARENT

#: The strategy of a study that names none.
EXPAND = "expand"
#: Those that propose whole networks, in batches.
SAMPLERS = STRATEGIES.using("batch")
#: Networks of a batch that race, where a study names no number: 8, of which 4 and then 2 go on.
GENERATION = 8


def _unused(strategy: str) -> tuple[str, ...]:
    """The keys that change nothing under this strategy."""
    mine = STRATEGIES.row(strategy).keys
    every = dict.fromkeys(key for row in STRATEGIES.values() for key in row.keys)
    return tuple(key for key in every if key not in mine)


def refuse_unused(config: Any) -> None:
    """ConfigError where a configuration sets what its strategy does not use."""
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    strategy = config.strategy
    for key in _unused(strategy):
        value = getattr(config, key)
        if value != defaults[key]:
            users, written = STRATEGIES.using(key), getattr(value, "text", value)
            who = f"a sampler such as {users[0]!r}" if users[0] in SAMPLERS else repr(users[0])
            raise ConfigError(
                f"{key} = {written!r} does nothing with strategy = {strategy!r}; leave it out, or "
                f"choose {who}, which uses it"
            )


def refuse_without_parents(config: Any) -> None:
    """ConfigError where networks are to begin as their parents ended, and have none."""
    if config.confirm and config.init != PARENT:
        raise ConfigError(
            f"confirm = true trains steps from scratch, to compare with init = {PARENT!r}; "
            f"init = {config.init!r} leaves nothing to compare"
        )
    if config.init == PARENT and config.strategy != EXPAND:
        raise ConfigError(
            f"init = {PARENT!r} needs strategy = {EXPAND!r}: networks of {config.strategy!r} grow "
            "from no other; leave it out, or name weights for all of them"
        )


def refuse_without_race(config: Any) -> None:
    """ConfigError where a strategy has keys of a race and does not race, or cannot."""
    if config.strategy not in STRATEGIES.using("race"):
        return
    if config.race and config.strategy in SAMPLERS and config.batch == 1:
        raise ConfigError(
            "race = true stops networks at a rung that others of their batch have beaten, and in "
            f"batch = 1 there are no others; leave it out for {GENERATION}, or name 2 or more"
        )
    if config.rungs and not config.race:
        raise ConfigError(f"rungs = {list(config.rungs)} does nothing without race = true")
    if config.more_seeds and not config.race:
        raise ConfigError(
            f"more_seeds = {config.more_seeds} does nothing without race = true; repeats trains "
            "every network with several seeds"
        )
    if config.more_seeds and config.init == PARENT:
        raise ConfigError(
            f"more_seeds = {config.more_seeds} needs weights of the parent with the same seed, "
            f"which init = {PARENT!r} does not have; leave one of them out, or set repeats"
        )
    if config.race and config.beam > 1:
        raise ConfigError(
            f"race = true ends all that are surely worse than the best, and beam = {config.beam} "
            "expands more than the best; leave one of them out"
        )


def refuse_multigrid_in_parts(config: Any) -> None:
    """ConfigError where trainings that begin on smaller clips would be tested on the way."""
    recipe = config.training_recipe()
    if recipe.smaller_first and (config.race or config.strategy in STRATEGIES.using("draws")):
        tests = "race = true" if config.race else f"strategy = {config.strategy!r}"
        raise ConfigError(
            f"recipe.multigrid = {recipe.multigrid!r} trains on smaller clips first, so that a "
            f"test on the way, as {tests} has them, is not that of a shorter training; leave one "
            "of them out"
        )


def without_unused(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration without such keys: it may be older than their refusal."""
    dropped = _unused(values.get("strategy", EXPAND))
    return {key: value for key, value in values.items() if key not in dropped}
