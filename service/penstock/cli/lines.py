"""Where do lines of data go? To stdout, or to a file that is there only when it is whole."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import typer

from penstock.errors import ConfigurationError

Write = Callable[[bytes], object]


def refuse(file: Path, *, force: bool) -> None:
    """Before anybody waits for what cannot be written.

    Raises:
        ConfigurationError: it must not be written, or cannot be.
    """
    if file.exists() and not force:
        raise ConfigurationError(f"{file} exists; --force writes over it")
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder; name a file")
    if not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"{file}: nothing can be written in the folder {file.parent}")


@contextmanager
def written(file: Path) -> Iterator[IO[bytes]]:
    """It is there, or replaced, when the block has ended without an error."""
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as part:
        try:
            yield part
            part.flush()
            umask = os.umask(0)
            os.umask(umask)
            Path(part.name).chmod(0o666 & ~umask)
            Path(part.name).replace(file)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


@contextmanager
def printed() -> Iterator[Write]:
    """To stdout.

    Raises:
        typer.Exit: whoever reads has had enough, as `head` has.
    """
    stdout = sys.stdout.buffer
    try:
        yield stdout.write
        stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer Python would try to write at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
