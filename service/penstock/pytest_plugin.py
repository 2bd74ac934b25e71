"""What does pytest know of us? The fixture `penstock`, and the marker with its settings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from penstock.testing import Stage


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "penstock(*, program=None, **settings): of the fixture `penstock`; takes what "
        "penstock.testing.stage takes",
    )


@pytest.fixture
def penstock(request: pytest.FixtureRequest) -> "Iterator[Stage]":
    """Your program as a service, without Kafka and without a model: see `penstock.testing`."""
    # DSPy takes two seconds to import, and most tests need none of it.
    from penstock.testing import stage  # noqa: PLC0415

    given: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("penstock"))):
        if marker.args:
            raise pytest.UsageError(
                "@pytest.mark.penstock takes what it is given by name, such as "
                f"program={marker.args[0]!r}"
            )
        given |= marker.kwargs
    with stage(**given) as staged:
        yield staged
