"""`penstock serve` whose connections to brokers take a detour: `python -m tests.support.detour`.

Brokers tell clients where they are; the product knows nothing of what lies between.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from penstock import cli
from tests.support.processes import Start, module_of_ours, with_settings

DETOURS = "PENSTOCK_TEST_DETOURS"
"""By the port of a broker, the port to connect to instead."""


def detouring(detours: Mapping[int, int]) -> Start:
    """Starts such members."""
    own = {DETOURS.removeprefix("PENSTOCK_"): json.dumps(detours)}
    return with_settings(module_of_ours("tests.support.detour"), own)


def main() -> None:
    detours = {int(port): detour for port, detour in json.loads(os.environ[DETOURS]).items()}
    connect = AIOKafkaConnection.connect

    async def detoured(connection: Any) -> Any:
        connection._port = detours.get(connection._port, connection._port)
        return await connect(connection)

    AIOKafkaConnection.connect = detoured
    sys.argv = ["penstock", "serve"]
    cli.main()


if __name__ == "__main__":
    main()
