"""One question at a time: what is added to the model's own time to the first token?"""

from tests.bench.figures import Figures, beside_floor, middle_and_tail
from tests.bench.load import Load
from tests.bench.result import Result
from tests.bench.scenario import Wanted
from tests.bench.stage import Stage, stage
from tests.bench.subjects import FLOOR, REFERENCE, penstocks


async def unloaded(servers: str, wanted: Wanted) -> Result:
    load = Load(questions=wanted.questions)
    found = {}
    for subject in [*penstocks(wanted.intervals_ms), REFERENCE, FLOOR]:
        async with stage(servers, subject, load) as here:
            found[subject.name] = await _one_by_one(here)
    return Result(load.conditions(), beside_floor(found))


async def _one_by_one(here: Stage) -> Figures:
    """From the question's record to the first record of its answer, as a reader sees it; and from
    the question's start to the model's first chunk, where the program says so itself."""
    load = here.load
    here.say(f"{load.questions} questions, one at a time")
    seen: list[float] = []
    said: list[float] = []
    await here.tokens.rest()
    cpu = here.cpu_seconds()
    for name in load.ids():
        asked = await (await here.asker.ask(name))
        [ended] = await here.answered([name])
        [first] = await here.tokens.about(name)
        seen.append(first.timestamp - asked.timestamp - here.own_ms(name))
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
