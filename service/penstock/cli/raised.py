"""Where in a program of one's own was it raised? For its author alone: the text is private."""

import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

_OTHERS = (
    Path(__file__).parents[1],
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def show(error: BaseException, hide: Callable[[str], str]) -> None:
    """The traceback on stderr, from the first frame of one's own on; whole where there is none."""
    trace = error.__traceback__
    while trace is not None and not _own(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    told = traceback.format_exception(type(error), error, trace or error.__traceback__)
    print(hide("".join(told)), end="", file=sys.stderr)


def place(error: BaseException) -> str | None:
    """The last line of one's own it came through, as `program.py:12`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _own(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None


def told(error: BaseException, said: str | None = None) -> str:
    """What it says, and where in one's own it was raised."""
    where = place(error.__cause__ or error)
    text = said or str(error)
    return f"{text} ({where})" if where else text


def _own(file: str) -> bool:
    """What is installed is not, nor what Python names `<frozen ...>`, nor what was compiled."""
    return file.endswith(".py") and not any(map(Path(file).is_relative_to, _OTHERS))
