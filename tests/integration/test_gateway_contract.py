"""The gateway does what its OpenAPI document says."""

from pathlib import Path

from tests.support.contract import contract
from tests.support.gateway import answered
from tests.support.kafka import Topics

PATHS = "^/(v1/questions.*|livez|readyz)$"


async def test_questions_by_their_ids(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    async with answered(bootstrap_servers, topics) as gateway:
        wrong = await contract(gateway.address, PATHS, tmp_path)
    assert wrong is None, wrong
