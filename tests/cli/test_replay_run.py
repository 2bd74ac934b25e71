"""What one machine's part in a replay says when it cannot go on."""

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.cli.replay_run import _served, _Watch
from penstock.core.failure import Failure, Kind
from penstock.errors import ConfigurationError, KafkaError
from penstock.settings import load
from tests.replay.test_progress import plan

SECRET = "sk-0123456789"
REFUSED = f"Incorrect API key provided: {SECRET}"


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (ConfigurationError(REFUSED), 2),
        (KafkaError(REFUSED), 1),
        (Failure(Kind.OPERATOR, "authentication", REFUSED, "run"), 1),
    ],
)
async def test_why_it_stopped_is_said_without_secrets(
    ends: Exception | Failure, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(*_: Any) -> Failure:
        if isinstance(ends, Exception):
            raise ends
        return ends

    own = load(model={"name": "openai/ok", "api_key": SECRET})
    watch = _Watch({"bootstrap_servers": "localhost:1"}, plan())
    app = SimpleNamespace(serve=serve)
    assert await _served(app, own, plan(), watch, lambda _: None) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Incorrect API key provided" in said.err
    assert SECRET not in said.err
