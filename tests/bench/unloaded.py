"""One question at a time: what is added to the model's own time to the first token?

It is a few milliseconds, and a machine that others use changes by as much within a minute. So all
programs are there at once, idle, and asked in turn: each question of one is beside one of another.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.bench.figures import Figures, beside_floor, middle_and_tail
from tests.bench.load import Load
from tests.bench.result import Result, say
from tests.bench.rounds import medians
from tests.bench.scenario import Wanted
from tests.bench.stage import Stage, stage
from tests.bench.subjects import everyone


async def unloaded(servers: str, wanted: Wanted) -> Result:
    """What is added does not depend on how long the model takes: a fast one answers more often."""
    load = Load(questions=wanted.questions, first_token_ms=50, chunks=16)
    async with AsyncExitStack() as stages:
        all_here = [
            await stages.enter_async_context(stage(servers, subject, load))
            for subject in everyone(wanted.intervals_ms)
        ]
        found = [await _in_turn(all_here, number) for number in range(wanted.rounds)]
    return medians(found, load.conditions())


async def _in_turn(all_here: Sequence[Stage], number: int) -> dict[str, Figures]:
    say(f"round {number + 1}: {all_here[0].load.questions} questions each, one at a time")
    asked = {here.subject.name: _Asked(here) for here in all_here}
    turns = list(asked.values())
    for name in all_here[0].load.ids():
        for one in turns:
            await one.ask(f"{number}-{name}")
        turns.reverse()
    return beside_floor({subject: one.figures() for subject, one in asked.items()})


@dataclass
class _Asked:
    """What a program was asked in a round.

    Args:
        here: the program.
        seen: from asking to reading the first word of the answer, by the clock of who asks, in
            milliseconds, without the model's own time. The way to Kafka and back is in it twice,
            as it is for the floor.
        said: the same from the question's start to the model's first chunk, where the program
            says so itself.
        cpu: seconds of a processor, while it was its turn.
    """

    here: Stage
    seen: list[float] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    cpu: float = 0

    async def ask(self, name: str) -> None:
        here, load = self.here, self.here.load
        await here.tokens.skip()
        self.cpu -= here.cpu_seconds()
        asked = time.monotonic()
        await here.asker.ask(name)
        await here.first_words(name)
        self.seen.append((time.monotonic() - asked) * 1000 - load.first_word_ms(name))
        [ended] = await here.answered([name])
        self.cpu += here.cpu_seconds()
        if (timing := ended.body.get("timing")) is not None:
            self.said.append(timing["first_token_ms"] - load.first_token_ms)

    def figures(self) -> Figures:
        load, said = self.here.load, self.said
        return {
            **middle_and_tail("first_token_added_ms", self.seen),
            **(middle_and_tail("first_token_added_inside_ms", said) if said else {}),
            "cpu_ms_per_question": round(self.cpu * 1e3 / load.questions, 2),
            "cpu_us_per_chunk": round(self.cpu * 1e6 / load.questions / load.chunks, 1),
            "peak_memory_mb": round(self.here.resident_mb(peak=True), 1),
        }
