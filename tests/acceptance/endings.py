"""How all questions have to end, whatever went wrong meanwhile."""

from collections.abc import Iterable

from tests.acceptance.outcome import Outcome
from tests.support.traffic import Event, World, everything


async def all_completed(outcome: Outcome, kafka: World, ids: Iterable[str], code: int) -> None:
    """Each once, with an answer, and none is a dead letter. `code`: of the service's exit."""
    ended = await everything(kafka, "completions")
    dead = await everything(kafka, "dead_letters")
    outcome.figures["dead_letters"] = len(dead)
    outcome.promise(f"no dead letters, not {len(dead)}", kept=not dead)
    outcome.promise("all are completed", kept=all(e.body["status"] == "completed" for e in ended))
    outcome.each_once(ids, (event.question_id for event in ended))
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)


def per_second(ended: list[Event]) -> float:
    """From the first completion to the last."""
    times = [event.timestamp for event in ended]
    return (len(times) - 1) * 1000 / (max(times) - min(times))
