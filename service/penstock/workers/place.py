"""What makes a process a worker? It is told in one hidden option; all else is as the user said."""

import json
from typing import NamedTuple

OPTION = "--worker"

GO = b"go\n"
"""To a worker: what can be refused at the start was not, begin."""
DRAIN = b"drain\n"
"""To a worker, as SIGTERM. Who signals a whole group or cgroup, as systemd does, has sent that one
as well, and two of them would mean: at once. This may be said as often as one likes."""
SERVING = b"serving\n"
"""To the supervisor: it has passed all that is refused at the start."""


class Place(NamedTuple):
    """Where a worker stands. File descriptors are inherited from the supervisor.

    Args:
        number: from 0 on.
        line: a socket to the supervisor. Where it ends, so has the supervisor.
        listener: a socket that listens, for the supervisor's questions over HTTP.
        stderr: that of the supervisor; our own is a pipe that ends with it.
        terminal: whether that is a terminal.
    """

    number: int
    line: int
    listener: int
    stderr: int
    terminal: bool

    def told(self) -> str:
        """As an argument."""
        return json.dumps(self._asdict(), separators=(",", ":"))


def place(said: str) -> Place:
    """The inverse of `told`."""
    return Place(**json.loads(said))
