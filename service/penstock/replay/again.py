"""How does a question read that is asked again? As before, but for its time and its marks."""

from dataclasses import replace
from functools import partial

from penstock.core.facts import RecordId
from penstock.events.again import REPLAY, Replay, replay_id
from penstock.kafka.codec import Codec, Delivery, Raw
from penstock.replay.plan import Plan


class Again:
    """A decoder for a replay."""

    def __init__(self, codec: Codec, plan: Plan) -> None:
        # The time of who asked first is over.
        self._codec = replace(codec, program=plan.program, deadlines=False)
        self._plan = plan
        self._selections = plan.selections
        self._replay = partial(Replay, id=plan.id, topic=plan.questions)

    def decode(self, record: RecordId, raw: Raw, monotonic: float, wall: float) -> Delivery | None:
        """None: it is not to be asked again; what this replay itself has said, neither."""
        wanted = self._selections.get(record.partition, ())
        if record.offset not in wanted or replay_id(raw.headers) == self._plan.id:
            return None
        delivery = self._codec.decode(record, raw, monotonic, wall)
        replay = self._replay(partition=record.partition, offset=record.offset)
        return replace(
            delivery,
            replay=replay,
            again_at=self._plan.created_at,
            marks=((REPLAY, replay.header),),
        )
