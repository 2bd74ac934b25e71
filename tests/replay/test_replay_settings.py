"""The settings of a service that answers again."""

from penstock.replay.settings import for_replay
from penstock.settings import Settings, load
from tests.replay.test_progress import plan


def settings() -> Settings:
    return load(topics={"questions": "q"}, telemetry={"port": 9464})


def test_it_stands_beside_the_service_and_remembers_no_ids() -> None:
    told = for_replay(settings(), plan(), slots=3)
    assert (told.kafka.group_id, told.topics.completions) == ("g.replay.a", "c")
    assert (told.pool.slots, told.telemetry.port) == (3, 0)
    assert told.gate.action == "exit"
    # What is asked again was asked before: nothing is read back to find that out.
    assert told.duplicates.window_ms == 0
