"""Two gateways in front of the same topics do what their OpenAPI documents say: all of it."""

import asyncio
from pathlib import Path

import pytest

from penstock.gateway.tokens import digest, new_token
from tests.support.contract import contract
from tests.support.gateway import answered, running_gateway
from tests.support.kafka import Topics

ASKING = "^/(predict|v1/(questions|chat|responses))"
"""These mostly wait for an answer, while the others are looked at."""


@pytest.mark.time_limit(300)
async def test_all_that_is_promised_with_and_without_tokens(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    token, tokens = new_token(), tmp_path / "tokens.toml"
    tokens.write_text(f'[ana]\nsha256 = "{digest(token).hex()}"\noperator = true\n')
    folders = [tmp_path / name for name in ("everybody", "operator", "asking")]
    for folder in folders:
        folder.mkdir()
    async with (
        answered(bootstrap_servers, topics) as everybodys,
        running_gateway(bootstrap_servers, topics, gateway={"tokens": tokens}) as operators,
    ):
        shown = ("--header", f"Authorization: Bearer {token}")
        wrong = await asyncio.gather(
            # What the other run covers, value by value, are the same routes.
            contract(everybodys.address, folders[0], "--phases", "examples,fuzzing,stateful"),
            contract(operators.address, folders[1], *shown, "--exclude-path-regex", ASKING),
            contract(operators.address, folders[2], *shown, "--include-path-regex", ASKING),
        )
    assert not any(wrong), "\n".join(filter(None, wrong))
