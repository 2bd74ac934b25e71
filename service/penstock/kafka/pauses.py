"""What is paused, by the records of the control topic?"""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from penstock.clock import Clock
from penstock.core.halts import Scope
from penstock.events.control import PAUSE, Pause
from penstock.kafka.control_log import stated

log = structlog.get_logger("penstock.kafka")


class Pauses(dict[Scope, Pause]):
    """By scope, those that stand. Of a key its last record counts: one that cannot be read pauses
    nothing, whatever was said before it, for a compacted topic tells no more than that.
    """

    def read(self, key: str, value: bytes | None) -> Scope | None:
        """What has changed; None: nothing."""
        try:
            scope = Scope.named(key.removeprefix(PAUSE))
        except ValueError as error:
            log.warning("a pause of what nobody knows is passed over", key=key, reason=str(error))
            return None
        before = self.pop(scope, None)
        if value is not None:
            try:
                self[scope] = Pause.model_validate_json(value)
            except ValidationError as error:
                [first, *_] = error.errors(include_url=False, include_input=False)
                log.warning(
                    "a pause that cannot be read counts for none", key=key, reason=first["msg"]
                )
        return None if self.get(scope) == before else scope


async def standing(client: Mapping[str, Any], topic: str, clock: Clock) -> Pauses:
    """Raises as `stated` does."""
    found = Pauses()
    for key, said in (await stated(client, topic, PAUSE, clock)).items():
        found.read(key, said.value)
    return found
