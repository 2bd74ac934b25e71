"""How does a program do as a service? A broker and a model in memory, and all that is between."""

import asyncio
import random
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import dspy
from aiokafka.partitioner import murmur2

from penstock import assembly, settings
from penstock.core import facts
from penstock.core.engine import Engine
from penstock.core.failure import Failure
from penstock.errors import ConfigurationError, UnansweredError
from penstock.events.question import Question
from penstock.job import Job
from penstock.kafka.codec import Delivery, Raw
from penstock.kafka.sink import Target
from penstock.kafka.source import Leaving
from penstock.kafka.topic_rules import DEAD_LETTER_HEADROOM, UNSEEN_LIMIT
from penstock.loop import Loop
from penstock.program.runner import Runner
from penstock.settings import ModelSettings, Settings
from penstock.settings.programs import program_named
from penstock.settings.sources import TOML
from penstock.telemetry.journal import Journal
from penstock.testing.asked import Asked
from penstock.testing.clockwork import Clockwork
from penstock.testing.group import SimulatedGroup, SimulatedSource
from penstock.testing.log import SimulatedLog
from penstock.testing.model import ScriptedModel
from penstock.testing.provider import Provider
from penstock.testing.shown import shown
from penstock.testing.sink import SimulatedSink, place_of

PATIENCE = 3_600.0
"""Simulated seconds after which a question that has not begun will hardly do so."""

LAST_SECONDS = 1.0
"""In which what still runs at the end may end."""

_WRITER = "test"

_A_LOOP_OF_ITS_OWN = "a stage has a loop of its own: use it in a plain `def test_...`"


class Stage:
    """One service with its programs. Time passes in it while a method of it runs, and only then.

    Its topics and its models are in memory, and so are models that a program has set for a step of
    its own. What else it reaches by itself, it reaches.
    """

    def __init__(self, loaded: Settings, loop: Clockwork) -> None:
        self.model = ScriptedModel()
        """What it is to say, and what it was asked."""
        self._settings = loaded
        self._loop = loop
        self._log = SimulatedLog(loop.clock)
        self._without_key = count()
        self._sent: list[Asked] = []
        self._shut: facts.GateShut | None = None
        self._provider = Provider(loop, self.model)
        self._programs = assembly.load_programs(loaded, self._provider.build)
        self._own_models = [
            (step, step.lm)
            for program in self._programs.values()
            for step in program.module.predictors()
            if step.lm is not None
        ]
        self._stack = AsyncExitStack()
        self._service: Loop[Delivery, Job]
        self._serving: asyncio.Task[Failure | None]

    @property
    def elapsed_s(self) -> float:
        """Seconds that have passed since the beginning; of simulated time."""
        return self._loop.now

    def ask(self, inputs: str | Mapping[str, Any], **more: Any) -> Asked:
        """What came of one question. Takes what `send` takes.

        Raises:
            ValueError: this is no question.
            UnansweredError: it has not ended, and will not: the service has stopped, say.
        """
        __tracebackhide__ = True
        asked = self.send(inputs, **more)
        self._run(self._all_ended([asked]))
        return asked

    def send(
        self,
        inputs: str | Mapping[str, Any],
        *,
        program: str | None = None,
        timeout_ms: float | None = None,
        key: str | bytes | None = None,
        question_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        stream: bool = True,
    ) -> Asked:
        """Puts a question into its topic, and waits for nothing.

        Args:
            inputs: the program's input fields; a text is short for `{"question": text}`.
            program: default: the settings' own default.
            timeout_ms: after which the question expires, wherever it is.
            key: questions of one key are answered one after the other.
            question_id: default: its place in the topic.
            metadata: comes back in the completion.
            stream: without it only the completion comes.

        Raises:
            ValueError: this is no question.
        """
        asked = {"question": inputs} if isinstance(inputs, str) else {"inputs": dict(inputs)}
        more = {"id": question_id, "program": program, "metadata": metadata, "stream": stream}
        question = Question.model_validate({**asked, **more, "timeout_ms": timeout_ms})
        value = question.model_dump_json(exclude_defaults=True).encode()
        return self._put(question_id, value, key.encode() if isinstance(key, str) else key)

    def run(self) -> None:
        """Until every question that was sent has ended.

        Raises:
            UnansweredError: see `ask`.
        """
        __tracebackhide__ = True
        self._run(self._all_ended(self._sent))

    def sleep(self, seconds: float) -> None:
        """Lets so many seconds of simulated time pass."""
        self._run(asyncio.sleep(seconds))

    def cancel(self, asked: Asked) -> None:
        """As `penstock cancel` does. What has ended stays as it is."""
        clock = self._loop.clock
        at, until = int(clock.wall() * 1000), clock.monotonic() + PATIENCE
        self._service.tell(facts.CancelRequested(asked.question_id, at, until))

    def start(self) -> None:
        for step, _ in self._own_models:
            # So it asks that of the program.
            step.lm = None
        self._run(self._start())

    def close(self) -> None:
        """Ends what still runs."""
        self._run(self._stop())
        for step, own in self._own_models:
            step.lm = own

    def _put(self, question_id: str | None, value: bytes, key: bytes | None) -> Asked:
        topics = self._settings.topics
        chosen = next(self._without_key) if key is None else murmur2(key) & 0x7FFFFFFF
        place = chosen % topics.partitions
        record = self._log.append(topics.questions, place, key, value)
        asked = Asked(
            question_id or place_of(record),
            record,
            self._settings.kafka.group_id,
            *(
                partial(self._log.read, topic, place, most=sys.maxsize)
                for topic in (topics.tokens, topics.completions, topics.dead_letters)
            ),
        )
        self._sent.append(asked)
        return asked

    async def _all_ended(self, questions: Sequence[Asked]) -> None:
        __tracebackhide__ = True
        until = self._loop.now + PATIENCE
        while waiting := [asked for asked in questions if not asked.ended]:
            if self._serving.done():
                self._say_why_it_stopped()
            if self._shut is not None:
                raise UnansweredError(
                    "too many questions fail for good: nothing starts any more, see GATE__RUN; the "
                    f"last: {self._shut.failure.message}",
                    "too_many_dead_letters",
                )
            if self._loop.now >= until:
                raise UnansweredError(f"after {PATIENCE:.0f} s it has not ended: {waiting[0]}")
            changed = asyncio.ensure_future(self._log.stirred())
            await asyncio.wait(
                {changed, self._serving},
                timeout=until - self._loop.now,
                return_when=asyncio.FIRST_COMPLETED,
            )
            changed.cancel()

    def _say_why_it_stopped(self) -> None:
        __tracebackhide__ = True
        failure = self._serving.result()
        assert failure is not None, "nobody has asked it to stop"
        raise UnansweredError(
            f"the service has stopped, and the question stays where it is: {failure.message}",
            failure.code,
        )

    async def _start(self) -> None:
        loaded, clock, log = self._settings, self._loop.clock, self._log
        topics, group = loaded.topics, loaded.kafka.group_id
        self._loop.set_default_executor(ThreadPoolExecutor(loaded.pool.slots))
        await self._stack.enter_async_context(self._provider.serving())
        for program in self._programs.values():
            self._stack.push_async_callback(program.model.aclose)
        # What is drawn is the same in every run.
        chance = random.Random(0).random  # noqa: S311 - of how long to wait
        engine = Engine(assembly.policy(loaded), _WRITER, chance)
        codec = assembly.codec(loaded, self._programs)
        source = SimulatedSource(
            log, topics.questions, SimulatedGroup(topics.partitions), codec, clock
        )
        tokens, completions = (
            Target(topic, topics.partitions, UNSEEN_LIMIT)
            for topic in (topics.tokens, topics.completions)
        )
        # As the service creates it.
        room = UNSEEN_LIMIT + DEAD_LETTER_HEADROOM
        dead_letters = Target(topics.dead_letters, topics.partitions, room)
        style = loaded.dead_letters.headers
        sink = SimulatedSink(log, group, tokens, completions, dead_letters, clock, style)
        journal = Journal(_WRITER, clock, loaded.gate.action)

        def observe(fact: facts.Event | facts.Command, job: Job | None) -> None:
            journal.observe(fact, job)
            if isinstance(fact, facts.GateShut):
                self._shut = fact
                log.stir()

        self._service = assembly.assemble(
            loaded,
            engine,
            Runner(self._programs, clock, threads=self._loop.threads),
            source,
            sink,
            _NothingInDoubt(),
            clock,
            observe,
        )
        await source.start(self._service.tell, _nobody_takes_them)
        self._serving = asyncio.create_task(self._service.run())

    async def _stop(self) -> None:
        ours = {asyncio.current_task()}
        self._serving.cancel()
        await asyncio.wait({self._serving})
        if left := asyncio.all_tasks() - ours:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=LAST_SECONDS)
        await self._stack.aclose()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        if _in_a_coroutine():
            coroutine.close()
            raise RuntimeError(_A_LOOP_OF_ITS_OWN)
        self._loop.run_until_complete(coroutine)


class _NothingInDoubt:
    """What was sent has arrived."""

    async def completion(self, question: Raw, since: float) -> int | None: ...
    async def dead_letter(self, question: Raw, since: float) -> int | None: ...


async def _nobody_takes_them(partitions: frozenset[int], why: Leaving) -> None:
    """There is one member."""


@contextmanager
def stage(*, program: str | None = None, **given: Any) -> Iterator[Stage]:
    """Serves while the block runs.

    Args:
        program: the one program to be served: one of PROGRAMS, a signature, or
            `package.module:attribute`. Default: all of PROGRAMS.
        **given: settings, as groups: `retry={"max_attempts": 2}`. They come before
            `penstock.toml` in the current folder, and that before the defaults; the environment
            and `.env` do not count.

    Raises:
        ConfigurationError: a setting or a program is wrong.
        RuntimeError: called in a coroutine; so does every method that lets time pass.
        AssertionError: at the end, where the model was told to say what nobody asked it for.
    """
    if _in_a_coroutine():
        raise RuntimeError(_A_LOOP_OF_ITS_OWN)
    loaded = _with_all_models(_with_one_program(settings.of_project(**given), program))
    before = {name: dspy.settings[name] for name in assembly.dspy_settings(loaded)}
    loop = Clockwork()
    try:
        with shown():
            staged = Stage(loaded, loop)
            staged.start()
            try:
                yield staged
            finally:
                staged.close()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        dspy.configure(**before)
    if unsaid := staged.model.unsaid():
        raise AssertionError(
            f"no call has asked the model for what it was to do: {', '.join(unsaid)}; it was asked "
            f"for: {staged.model.wanted()}"
        )


def _in_a_coroutine() -> bool:
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - its public form raises


def _with_one_program(loaded: Settings, wanted: str | None) -> Settings:
    if wanted is None:
        if "programs" not in loaded.model_fields_set and not Path(TOML).exists():
            # The default one would be tested in place of the project's, and may well pass.
            raise ConfigurationError(
                f"no program is named, and there is no {TOML} in {Path.cwd()}: begin the tests in "
                'the folder of the project, or name one, such as program="desk:SupportDesk"'
            )
        return loaded
    name, program = program_named(loaded, wanted)
    return loaded.model_copy(update={"programs": {name: program}, "default_program": name})


def _with_all_models(loaded: Settings) -> Settings:
    """Their names may stand in the environment, which does not count here."""
    named = (program.model for program in loaded.programs.values())
    missing = {
        name: ModelSettings(name=f"openai/{name}")
        for name in named
        if name not in loaded.all_models
    }
    return loaded.model_copy(update={"models": {**missing, **loaded.models}})
