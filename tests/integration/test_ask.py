from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import running_service


async def test_one(bootstrap_servers: str, topics: Topics):
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/ok", models.api_base) as service,
    ):
        assert service.port


async def test_two(bootstrap_servers: str, topics: Topics):
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/ok", models.api_base) as service,
    ):
        assert service.port
