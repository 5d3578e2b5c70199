"""The command in a process that is killed as soon as it has written a second checkpoint."""

KILLED = """
import os, signal, sys
from expand3d.cli.main import main
from expand3d.training.checkpoint import Checkpointer

write, count = Checkpointer.write, []

def write_and_die(self, state):
    write(self, state)
    count.append(1)
    if len(count) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpointer.write = write_and_die
Checkpointer.due = lambda self, *, epoch_end: True
sys.exit(main(sys.argv[1:]))
"""
