"""What is said of a broker whose certificate is an odd one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.kafka.entry import refused
from penstock.kafka.listening import Address
from penstock.kafka.security import client_arguments
from tests.support.plain_certificates import authority, issued


@asynccontextmanager
async def _shows(certificate: Path) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def ends(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(ends, "localhost", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_without_names_is_of_whoever_its_subject_says(tmp_path: Path) -> None:
    company = authority("company")
    ca = company.write(tmp_path / "ca.pem")
    async with _shows(issued(company, "kafka.example").write(tmp_path / "broker.pem")) as port:
        said = {"security.protocol": "SSL", "ssl.ca.location": str(ca)}
        reason = await refused(client_arguments(f"localhost:{port}", said))
    assert reason is not None
    assert "a certificate for CN=kafka.example" in reason
    assert "not for localhost; name it so in KAFKA__BOOTSTRAP_SERVERS" in reason


def test_an_address_can_be_told_from_its_port() -> None:
    assert str(Address("kafka", 9092)) == "kafka:9092"
    assert str(Address("::1", 9092)) == "[::1]:9092"
