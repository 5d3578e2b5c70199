"""The clips that one network reads: of its size, with the flow that it asks for."""

from __future__ import annotations

import dataclasses

from expand3d.core.genotype import Plan
from expand3d.data.cache import CachedStore
from expand3d.execute.evaluate import Bench
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared
from expand3d.run.prepare.data import sized_store, with_flow
from expand3d.run.prepare.sizes import Form


class ClipsOf:
    """The stores of a prepared run by their form, each decoded when a network first reads it."""

    def __init__(self, ready: Prepared, watch: Watch) -> None:
        self._ready, self._watch = ready, watch
        spec = ready.store.spec
        self._stores = {Form(spec.short_side, spec.every): ready.store}

    def bench(self, plan: Plan, bench: Bench | None = None) -> Bench:
        """A bench, the candidates' by default, with the clips that the network reads.

        They are decoded now, if they are not there yet, and where it reads optical flow, so is
        that of all clips. Their form depends on the network, so that equal networks have equal
        scores whoever asked for them and when: a baseline, or a budget that was extended.
        """
        bench = bench or self._ready.bench
        sizes, flow = self._ready.clips.sizes, self._ready.config.flow_spec()
        form = sizes.form(plan, bench.recipe)
        bench = dataclasses.replace(bench, store=self._of(form))
        if plan.sources <= {"frames"}:
            return bench
        of = self._of(Form(sizes.flow_side(flow.short_side, form.side)))
        workers = bench.threads * self._ready.config.at_a_time
        store = with_flow(
            self._of(form),
            plan,
            flow,
            of=of,
            files=self._ready.clips.flow,
            workers=workers,
            watch=self._watch,
        )
        return dataclasses.replace(bench, store=store)

    def _of(self, form: Form) -> CachedStore:
        """The clips in one of the study's forms, decoded now where they are not there yet."""
        if form not in self._stores:
            clips = self._ready.clips
            used = dataclasses.replace(self._ready.videos, manifest=clips.store.manifest)
            self._stores[form] = sized_store(
                self._ready.config, used, sizes=clips.sizes, form=form, watch=self._watch
            )
        return self._stores[form]
