"""What networks cost, by arithmetic only; called, it is `expand3d.api.cost`."""

from expand3d.core.verbs import make_callable

make_callable(__name__, "expand3d.api:cost")
