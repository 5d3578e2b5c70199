"""The fourth stage of preparing: recipes, jobs, and the device and threads that train."""

from __future__ import annotations

from dataclasses import dataclass, replace

from expand3d.core.genotype import digest
from expand3d.core.process import cores
from expand3d.data.splits import folds
from expand3d.execute.evaluate import Bench, make_jobs
from expand3d.networks.weights.initial import Initial
from expand3d.run.prepare.data import Clips
from expand3d.search.expansion.race import SEEDS
from expand3d.study.config import Config, StudyConfig
from expand3d.study.sections import Execution
from expand3d.study.strategy_keys import EXPAND


@dataclass(frozen=True)
class Benches:
    """The bench that trains candidates, and the one of the winner's last training.

    `scored` is the number of clips that decide.
    """

    search: Bench
    last: Bench
    scored: int

    def sides(self) -> dict[int, str]:
        """The names of the sides between which no film may stand twice, by clip."""
        jobs = self.search.jobs
        found = {clip: "train" for clip in jobs[0].train}
        for job in jobs:
            fold = f"fold {job.key.fold + 1}"
            name = fold if any(other.key.fold for other in jobs) else "val"
            found |= {clip: name for clip in job.held_out}
        return found | {clip: "test" for clip in self.last.jobs[0].held_out}


def settle(config: Config) -> Config:
    """The configuration with the device and the threads that it leaves to this machine."""
    device, threads = device_for(config.device), threads_for(config)
    last = last_threads(config, device=device, threads=threads)
    return replace(config, device=device, threads=threads, final_threads=last)


def device_for(wanted: str) -> str:
    """The device that 'auto' stands for here; what was named is taken as named."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def threads_for(config: Execution) -> int:
    """CPU threads of one training: what was said, or all cores shared among the workers."""
    return config.threads or max(1, cores() // config.at_a_time)


def last_threads(config: Execution, *, device: str, threads: int) -> int:
    """CPU threads of the winner's last training: what was said, or the workers' `threads` together.

    The workers are idle by then. Ray reserves the same cores for every training, and a GPU leaves
    the cores little to do, so that there it is the `threads` of every training.
    """
    if config.final_threads is not None:
        return config.final_threads
    if config.executor == "ray" or {*(config.devices or (device,))} != {"cpu"}:
        return threads
    return max(threads, min(threads * config.at_a_time, cores()))


def set_up(config: StudyConfig, clips: Clips, initial: Initial | None = None) -> Benches:
    """The benches on these clips; the configuration's device and threads are settled.

    `initial` are the weights that trainings begin with; without them they are drawn.
    """
    search = replace(_search_bench(config, clips), initial=initial)
    scored = sum(len(job.held_out) for job in search.jobs) // config.repeats
    return Benches(search, _last_bench(search, config, clips), scored)


def _search_bench(config: StudyConfig, clips: Clips) -> Bench:
    store, parts = clips.store, clips.parts
    held_out = (
        folds(
            sorted((*parts.train, *parts.val)),
            store.labels,
            store.groups,
            k=config.folds,
            seed=config.seed,
        )
        if config.folds > 1
        else ()
    )
    seeds = config.repeats + config.more_seeds
    if config.race and config.strategy == EXPAND:
        seeds = max(seeds, SEEDS)
    jobs = make_jobs(
        train=parts.train,
        val=parts.val,
        folds=held_out,
        repeats=seeds,
        seed=config.seed,
    )
    if config.score_test:
        jobs = tuple(replace(job, held_out=(*job.held_out, *parts.test)) for job in jobs)
    return Bench(
        store=store,
        recipe=config.training_recipe(),
        jobs=tuple(job for job in jobs if job.key.repeat < config.repeats),
        spare=tuple(job for job in jobs if job.key.repeat >= config.repeats),
        device=config.device,
        threads=config.threads or 1,
        fingerprint=store.fingerprint,
        timeout=config.candidate_timeout.seconds if config.candidate_timeout else None,
    )


def _last_bench(search: Bench, config: StudyConfig, clips: Clips) -> Bench:
    """Everything but the test part trains, the test part scores; the seed is a fresh one."""
    parts = clips.parts
    (job,) = make_jobs(
        train=sorted((*parts.train, *parts.val)),
        val=parts.test,
        folds=(),
        repeats=1,
        seed=int(digest(config.seed, "final")[:8], 16),
    )
    return replace(
        search,
        recipe=config.last_recipe(),
        jobs=(job,),
        spare=(),
        timeout=None,
        threads=config.final_threads or search.threads,
    )
