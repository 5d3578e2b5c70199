"""The clips that one network reads: of its size, with the flow that it asks for."""

from __future__ import annotations

import dataclasses

from expand3d.core.genotype import Plan
from expand3d.data.cache import CachedStore
from expand3d.data.flow.store import FlowStore
from expand3d.data.source import flow_root
from expand3d.execute.evaluate import Bench
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared
from expand3d.run.prepare.data import sized_store


class ClipsOf:
    """The stores of a prepared run by their size, each decoded when a network first reads it."""

    def __init__(self, ready: Prepared, watch: Watch) -> None:
        self._ready, self._watch = ready, watch
        self._stores = {ready.store.spec.short_side: ready.store}

    def bench(self, plan: Plan, bench: Bench | None = None) -> Bench:
        """A bench, the candidates' by default, with the clips that the network reads.

        They are decoded now, if they are not there yet, and where it reads optical flow, so is
        that of all clips. Their size depends on the network, so that equal networks have equal
        scores whoever asked for them and when: a baseline, or a budget that was extended.
        """
        bench = bench or self._ready.bench
        sizes, flow = self._ready.clips.sizes, self._ready.config.flow_spec()
        side = sizes.side(plan.crop, bench.recipe)
        bench = dataclasses.replace(bench, store=self._of(side))
        if plan.sources <= {"frames"}:
            return bench
        of = self._of(sizes.flow_side(flow.short_side, side))
        store = FlowStore(bench.store, flow, flow_root(), of)
        workers = bench.threads * self._ready.config.at_a_time
        store.fill(plan.sources, workers=workers, progress=self._watch.flow)
        return dataclasses.replace(bench, store=store)

    def _of(self, side: int) -> CachedStore:
        """The clips at one of the study's sizes, decoded now where they are not there yet."""
        if side not in self._stores:
            clips = self._ready.clips
            used = dataclasses.replace(self._ready.videos, manifest=clips.store.manifest)
            self._stores[side] = sized_store(
                self._ready.config, used, sizes=clips.sizes, side=side, watch=self._watch
            )
        return self._stores[side]
