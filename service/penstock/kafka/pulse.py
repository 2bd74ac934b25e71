"""Does the client still fetch, and still try to be a member? It tells nobody when it does not."""

from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer


class Pulse(NamedTuple):
    """Of a member's client.

    Args:
        ended: what the task of it does that has ended, as none should; None: none has.
        tried_at: when it last began something to be a member, in monotonic seconds.
    """

    ended: str | None
    tried_at: float


def ended(consumer: AIOKafkaConsumer) -> str | None:
    """See `Pulse`; of one that was started and not stopped. Its heartbeats may end and begin anew
    with the next join.
    """
    found: Any = consumer
    tasks = {
        "joins the group": found._coordinator._coordination_task,  # noqa: SLF001 - no public way
        "fetches": found._fetcher._fetch_task,  # noqa: SLF001
        "knows the brokers": found._client._sync_task,  # noqa: SLF001
    }
    return next((does for does, task in tasks.items() if task is None or task.done()), None)
