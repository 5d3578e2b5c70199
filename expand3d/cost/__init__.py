"""The cost of networks, by arithmetic only; called, the package is `expand3d.api.cost`."""

from expand3d.core.verbs import make_callable

make_callable(__name__, "expand3d.api:cost")
