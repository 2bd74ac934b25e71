"""Who is told of what passes through the loop? Whoever fails at it costs no question."""

from collections.abc import Callable

import structlog

from penstock.core import facts
from penstock.job import Job

Observer = Callable[[facts.Event | facts.Command, Job | None], None]

log = structlog.get_logger("penstock")


def each(*observers: Observer | None, watch: Observer | None = None) -> Observer:
    """All of them that there are, one after the other. What `watch` raises ends the loop."""
    there = [_harmless(observe) for observe in observers if observe is not None]
    if watch is not None:
        there.append(watch)

    def observe(fact: facts.Event | facts.Command, job: Job | None) -> None:
        for tell in there:
            tell(fact, job)

    return observe


def _harmless(observe: Observer) -> Observer:
    """It, except for what it raises, of which the first is told."""
    failed = False

    def tell(fact: facts.Event | facts.Command, job: Job | None) -> None:
        nonlocal failed
        try:
            observe(fact, job)
        except Exception:
            if not failed:
                failed = True
                log.exception(
                    "what is reported of questions is not whole from now on", of=type(fact).__name__
                )

    return tell
