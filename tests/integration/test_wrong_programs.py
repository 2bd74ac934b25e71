"""Programs and models that cannot be served: one clear line says which, and why."""

from typing import Any

import pytest

from penstock.errors import ConfigurationError
from tests.support.kafka import Topics
from tests.support.service import running_service

HERE = "tests.support.programs"

WRONG = {
    "no such module": ("nowhere.to_be_found:program", ["cannot import", "nowhere"]),
    "no such attribute": (f"{HERE}:nothing", ["cannot import", "nothing"]),
    "no program": (f"{HERE}:not_a_program", ["dict", "dspy.Module"]),
    "a function": (f"{HERE}:lookup", ["function", "dspy.Module"]),
    "nothing to call": (f"{HERE}:Uncallable", ["Uncallable", "aforward", "forward"]),
    "no predictor": (f"{HERE}:NoPredictor", ["no predictor"]),
    "no output": (f"{HERE}:NoOutput", ["no output field"]),
    "no output in a signature": ("question ->", ["question ->"]),
    "no signature": ("question -> -> answer", ["question -> -> answer"]),
    "neither": ("question", ["signature", "package.module:attribute"]),
    "needs arguments": (f"{HERE}:NeedsArguments", ["depth"]),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_program_is_named_in_one_line(topics: Topics, name: str) -> None:
    entry, words = WRONG[name]

    message = await _refused(topics, programs={"mine": entry})

    assert message.startswith("program 'mine'")
    for word in words:
        assert word in message


async def test_an_unknown_model_is_named(topics: Topics) -> None:
    programs = {"mine": {"entry": "question -> answer", "model": "large"}}

    message = await _refused(topics, programs=programs)

    assert "'mine'" in message
    assert "'large'" in message
    assert "default" in message


async def test_a_program_the_plain_adapter_cannot_serve_is_named(topics: Topics) -> None:
    model = {"name": "openai/ok", "adapter": "plain"}

    message = await _refused(topics, model, programs={"mine": "question -> title, body"})

    assert "'mine'" in message
    assert "plain" in message


async def _refused(topics: Topics, model: str | dict[str, Any] = "openai/ok", **flags: Any) -> str:
    # Programs are looked at before anything is connected: no Kafka has to be there.
    with pytest.raises(ConfigurationError) as caught:
        async with running_service("localhost:1", topics, model, **flags):
            pass
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return message
