"""How are settings of a topic changed, so that its others stay as they are?"""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, for_code

from penstock.kafka.requests import AlterConfigs
from penstock.kafka.rights import Operation, missing
from penstock.kafka.security import FORBIDDEN
from penstock.kafka.stretch import in_time

Changes = Mapping[str, Mapping[str, str]]
"""By topic: setting to value."""

_TOO_OLD = "brokers before 2.3 cannot change one setting and leave the others; use kafka-configs.sh"


async def alter(
    connection: AIOKafkaAdminClient, changes: Changes, user: str | None, *, validate_only: bool
) -> dict[str, str]:
    """Why topics cannot be changed, by their names; nothing of those that can. One topic is
    changed as a whole or not at all. `validate_only`: none is.

    Raises:
        aiokafka.errors.KafkaError: no broker answers; TimeoutError: nor does it say so.
    """
    if not changes:
        return {}
    request = AlterConfigs(changes, validate_only=validate_only)
    try:
        answer = await in_time(connection._send_request(request))  # noqa: SLF001 - as elsewhere
    except (IncompatibleBrokerVersion, NotImplementedError):
        return dict.fromkeys(changes, _TOO_OLD)
    return {
        name: _why_not(name, code, message, user)
        for code, message, _, name in answer.resources
        if code
    }


def _why_not(name: str, code: int, message: str | None, user: str | None) -> str:
    error = for_code(code)
    if issubclass(error, FORBIDDEN):
        lacks = missing("topic", [name], [Operation.ALTER_CONFIGS], user)
        return f"{lacks.said}; {lacks.remedy}"
    return message or error.__name__
