"""One question at a time: what is added to the model's own time to the first token?"""

import time

from tests.bench.figures import Figures, middle_and_tail
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.side_by_side import side_by_side
from tests.bench.stage import Stage
from tests.bench.subjects import everyone


async def unloaded(servers: str, wanted: Wanted) -> Result:
    """What is added does not depend on how long the model takes: a fast one answers more often."""
    load = Load(questions=wanted.questions, first_token_ms=50, chunks=16)
    return await side_by_side(servers, load, wanted, everyone(wanted.intervals_ms), _one_by_one)


async def _one_by_one(here: Stage) -> Figures:
    """From asking to reading the first word of the answer, by the clock of who asks: the way to
    Kafka and back twice is in it, as it is for the floor. And from the question's start to the
    model's first chunk, where the program says so itself."""
    load = here.load
    here.say(f"{load.questions} questions, one at a time")
    seen: list[float] = []
    said: list[float] = []
    await here.tokens.rest()
    cpu = here.cpu_seconds()
    for name in load.ids():
        asked = time.monotonic()
        await here.asker.ask(name)
        await here.first_words(name)
        seen.append((time.monotonic() - asked) * 1000 - load.first_word_ms(name))
        [ended] = await here.answered([name])
        if (timing := ended.body.get("timing")) is not None:
            said.append(timing["first_token_ms"] - load.first_token_ms)
    cpu = here.cpu_seconds() - cpu
    return {
        **middle_and_tail("first_token_added_ms", seen),
        **(middle_and_tail("first_token_added_inside_ms", said) if said else {}),
        "cpu_ms_per_question": round(cpu * 1e3 / load.questions, 2),
        "cpu_us_per_chunk": round(cpu * 1e6 / load.questions / load.chunks, 1),
        "peak_memory_mb": round(here.resident_mb(peak=True), 1),
    }
