"""What is a service made of, whatever carries its records? Programs, a policy, and a loop."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

# Before dspy is imported: its first call would wait for the network otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")

import dspy

from penstock import job
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.breaker import BreakerPolicy
from penstock.core.cadence import CadencePolicy
from penstock.core.engine import Engine
from penstock.core.failure import Kind
from penstock.core.gate import GatePolicy
from penstock.core.lease import LeasePolicy
from penstock.core.limiter import LimiterPolicy
from penstock.core.models import ModelPolicy
from penstock.core.partition import Limits
from penstock.core.policy import Policy
from penstock.core.retry import RetryPolicy
from penstock.errors import ConfigurationError
from penstock.events.member import Served
from penstock.job import Job
from penstock.kafka import metadata
from penstock.kafka.codec import Codec, Delivery, Expectation
from penstock.kafka.producer import FLIGHT, MARGIN
from penstock.kafka.source import REBALANCE_MS, SESSION_TIMEOUT_MS
from penstock.kafka.token_tail import Said
from penstock.loop import Loop, Observer
from penstock.loop import Source as Questions
from penstock.program import catalog, model
from penstock.program.catalog import Program
from penstock.program.model import Model
from penstock.program.reading import Timeouts
from penstock.program.runner import Runner
from penstock.settings import ModelSettings, Settings
from penstock.settings.programs import default_program

LEAST_CALLS = 20
"""That a breaker looks at, however few slots there are."""

TOKEN_RECORDS = 2_000
"""A second at most, of all questions that run together: a reader sees no difference between 30
events a second and 200, and each costs a tenth of a millisecond here, and more at the broker."""


class Source(Questions[Delivery], Protocol):
    """The questions, and what was said of them before; see `penstock.kafka.source`."""

    def said_before(self, delivery: Delivery) -> Said | None: ...
    async def said_until(self, delivery: Delivery, since: float) -> Said | None: ...


def assemble(
    settings: Settings,
    engine: Engine,
    runner: Runner,
    source: Source,
    sink: job.Sink,
    lookup: job.Lookup,
    clock: Clock,
    observe: Observer[Job],
) -> Loop[Delivery, Job]:
    """The loop that joins them."""
    at_least = settings.tokens.min_interval_ms / 1000

    def interval() -> float:
        return max(at_least, engine.board.admission.in_flight / TOKEN_RECORDS)

    def begin(delivery: Delivery) -> Job:
        before = source.said_before(delivery)
        answers = facts.Answers(delivery.record)
        return Job(
            delivery,
            runner,
            sink,
            lookup,
            clock,
            interval,
            lambda: loop.tell(answers),
            before,
            source.said_until,
            tells_partly=settings.deadline.partial,
        )

    loop = Loop(engine, source, begin, clock, observe)
    return loop


def build_model(wanted: ModelSettings, connections: int) -> Model:
    """The client that asks this model; see `penstock.program.model.build`.

    Raises:
        ConfigurationError: names the model and the setting to change.
    """
    return model.build(
        wanted.name,
        wanted.adapter,
        connections=connections,
        api_base=wanted.api_base,
        api_key=None if wanted.api_key is None else wanted.api_key.get_secret_value(),
        options=wanted.options,
        engine=wanted.engine,
        timeouts=timeouts(wanted),
    )


def timeouts(wanted: ModelSettings) -> Timeouts:
    return Timeouts(
        wanted.connect_ms / 1000,
        None if wanted.first_token_ms is None else wanted.first_token_ms / 1000,
        wanted.idle_ms / 1000,
    )


def dspy_settings(settings: Settings) -> dict[str, Any]:
    """What holds for all programs."""
    return {
        # History, traces and usage would grow with every question.
        "disable_history": True,
        "max_trace_size": 0,
        "async_max_workers": settings.pool.slots,
        "warn_on_type_mismatch": False,
    }


def load_programs(
    settings: Settings, build: Callable[[ModelSettings, int], Model] = build_model
) -> dict[str, Program]:
    """Every program, with its model, which `build` makes of its settings and the number of slots.

    Raises:
        ConfigurationError: names the program or model that cannot be used, and why.
    """
    dspy.configure(**dspy_settings(settings))
    if not settings.all_models:
        raise ConfigurationError(
            "no model is set; set PENSTOCK_MODEL__NAME, for example to openai/gpt-4o-mini "
            "(and PENSTOCK_MODEL__API_BASE for a server of your own), or try `penstock model`"
        )
    models = {
        name: build(wanted, settings.pool.slots) for name, wanted in settings.all_models.items()
    }
    programs = {}
    for name, wanted in settings.programs.items():
        if wanted.model not in models:
            raise ConfigurationError(
                f"program {name!r}: its model {wanted.model!r} is none of MODELS "
                f"({', '.join(models)})"
            )
        programs[name] = catalog.load(
            name,
            wanted.entry,
            models[wanted.model],
            state=wanted.state,
            version=wanted.version,
        )
    return programs


def policy(settings: Settings) -> Policy:
    return Policy(
        slots=settings.pool.slots,
        high=settings.intake.high,
        low=settings.intake.low,
        drain=settings.drain_ms / 1000,
        flight=FLIGHT,
        held_back=settings.commit.held_back_ms / 1000,
        dead_letter_expired=settings.deadline.dead_letter,
        cadence=CadencePolicy(
            settings.commit.records,
            settings.commit.interval_ms / 1000,
            at_least=SESSION_TIMEOUT_MS / 3000,
        ),
        limits=Limits(
            settings.commit.metadata_bytes - metadata.OVERHEAD,
            settings.duplicates.window_ms,
            MARGIN,
        ),
        lease=LeasePolicy(SESSION_TIMEOUT_MS / 1000, REBALANCE_MS / 1000, MARGIN),
        retry=RetryPolicy(
            settings.retry.base_ms / 1000,
            settings.retry.cap_ms / 1000,
            {
                Kind.UPSTREAM: settings.retry.max_attempts,
                Kind.ANSWER: settings.retry.answer_attempts,
            },
        ),
        gate=GatePolicy(
            settings.gate.action,
            settings.gate.ratio,
            settings.gate.run,
            settings.gate.window_ms / 1000,
        ),
        # One that no program asks would never be away, and questions be fetched for it.
        models={
            program.model: _model_policy(settings, program.model)
            for program in settings.programs.values()
        },
    )


def _model_policy(settings: Settings, name: str) -> ModelPolicy:
    breaker, limiter, slots = settings.breaker, settings.limiter, settings.pool.slots
    model = settings.all_models[name]
    return ModelPolicy(
        BreakerPolicy(
            breaker.failures,
            breaker.ratio,
            # As many as fail at once when a model goes away; of fewer, chance makes outages.
            max(slots, LEAST_CALLS, breaker.failures),
            breaker.window_ms / 1000,
            breaker.probe_ms / 1000,
        ),
        LimiterPolicy(limiter.mode, min(limiter.min, slots), slots, model.rpm, model.tpm),
    )


def served(settings: Settings, programs: Mapping[str, Program]) -> dict[str, Served]:
    """What those see of the programs who ask."""
    return {
        name: Served(
            version=program.version,
            model=settings.programs[name].model,
            inputs=sorted(program.inputs),
            accepts=sorted(program.accepts),
            answer=program.answer,
        )
        for name, program in programs.items()
    }


def codec(settings: Settings, programs: dict[str, Program]) -> Codec:
    deadline = settings.deadline
    return Codec(
        programs={
            name: Expectation(
                program.inputs,
                (settings.programs[name].timeout_ms or deadline.default_ms) / 1000,
                settings.programs[name].model,
            )
            for name, program in programs.items()
        },
        default_program=default_program(settings),
        ordering=settings.pool.ordering,
        max_timeout=deadline.max_ms / 1000,
        id_characters=settings.bounds.id_characters,
        metadata_bytes=settings.bounds.metadata_bytes,
        value_bytes=settings.bounds.value_bytes,
        forward=frozenset(settings.headers.forward),
    )
