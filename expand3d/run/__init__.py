"""The way from a configuration to a finished study; called, the package is `run_study`."""

from expand3d.core.verbs import make_callable

make_callable(__name__, "expand3d.run.driver:run_study")
