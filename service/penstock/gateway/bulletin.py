"""What is the console told of the whole? Written once for each look, whoever reads it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from penstock import __version__
from penstock.clock import Clock
from penstock.events.envelope import rfc3339
from penstock.gateway.backlog import Backlog
from penstock.gateway.figures import STEP, Figures, Quantiles
from penstock.gateway.index import Index
from penstock.gateway.overview import Overview
from penstock.settings import GatewaySettings
from penstock.status import Status


class Spread(BaseModel):
    """Milliseconds: half of them, and 95 %, took no longer."""

    p50: float
    p95: float


class RatesSeen(BaseModel):
    """Of the last minute, as this gateway has seen the topics."""

    asked_per_second: float
    ended_per_second: float
    failed_per_second: float = Field(description="Failed and expired ones.")
    tokens_per_second: float = Field(description="Token events.")
    first_token_ms: Spread | None = Field(description="From the first start; null: none ended.")
    duration_ms: Spread | None = Field(description="As `first_token_ms`.")


class IndexSeen(BaseModel):
    questions: int = Field(description="That are found by their ids.")
    unanswered: int = Field(description="Of these, the ones that have not ended.")


class GatewaySeen(BaseModel):
    version: str
    auth: Literal["none", "token"] = Field(
        description="Whether who asks needs a bearer token; who operates always does."
    )
    cancel_on_disconnect: bool


class OverviewSeen(BaseModel):
    """How the service behind the topics stands, and how it goes."""

    at: str = Field(description="RFC 3339.")
    why_not: str | None = Field(
        description="Why `status` is not of now, as where Kafka is away; null: it is."
    )
    status: Status | None = Field(
        description="As `penstock status --output json` has it; null: it was never seen."
    )
    rates: RatesSeen
    wait_seconds: float = Field(description="That a question asked now would wait for its start.")
    index: IndexSeen
    gateway: GatewaySeen


Each = Annotated[list[int], Field(description="One for each step.")]


class History(BaseModel):
    """The last five minutes in steps of five seconds, the oldest first; the last one goes on."""

    seconds: list[int] = Field(description="Unix time in seconds, of when the step began.")
    asked: Each
    ended: Each
    failed: Each
    tokens: Each
    p50_ms: list[float | None] = Field(
        description="Of the durations of those that ended in it; null: there are none."
    )
    p95_ms: list[float | None]


class Bulletin:
    """Args:
    overview: what is looked at.
    figures: what was counted.
    backlog: how long one would wait.
    index: of the questions.
    settings: of the gateway.
    clock: of the process.
    everybody: whether everybody may ask.
    """

    def __init__(
        self,
        overview: Overview,
        figures: Figures,
        backlog: Backlog,
        index: Index,
        settings: GatewaySettings,
        clock: Clock,
        *,
        everybody: bool,
    ) -> None:
        self._overview = overview
        self._figures = figures
        self._backlog = backlog
        self._index = index
        self._settings = settings
        self._clock = clock
        self._everybody = everybody
        self._written: tuple[asyncio.Event, bytes] | None = None
        self._turning: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._figures.begin(self._clock.wall())
        self._turning = asyncio.create_task(self._turn())

    async def stop(self) -> None:
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.gather(self._turning, return_exceptions=True)

    def now(self) -> bytes:
        """As JSON."""
        return self._seen().model_dump_json().encode()

    async def events(self, holds: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """The last one at once, and one at each look; who is slow misses some. `holds`: whether
        its reader's token is still good.
        """
        while holds():
            # Taken first: a look while somebody takes the last one is not missed.
            looked = self._overview.looked
            yield self._frame(looked)
            await looked.wait()

    def history(self) -> History:
        steps = self._figures.steps(self._clock.wall())
        quantiles = [step.duration.quantiles for step in steps]
        return History(
            seconds=[step.second for step in steps],
            asked=[step.asked for step in steps],
            ended=[step.ended for step in steps],
            failed=[step.failed for step in steps],
            tokens=[step.tokens for step in steps],
            p50_ms=[None if both is None else both.p50 for both in quantiles],
            p95_ms=[None if both is None else both.p95 for both in quantiles],
        )

    def _frame(self, looked: asyncio.Event) -> bytes:
        if self._written is None or self._written[0] is not looked:
            self._written = looked, b"event: overview\ndata: %s\n\n" % self.now()
        return self._written[1]

    def _seen(self) -> OverviewSeen:
        now, ours = self._clock.wall(), self._settings
        rates = self._figures.rates(now)
        return OverviewSeen(
            at=rfc3339(now),
            why_not=self._overview.why_not,
            status=self._overview.status,
            rates=RatesSeen(
                asked_per_second=rates.asked,
                ended_per_second=rates.ended,
                failed_per_second=rates.failed,
                tokens_per_second=rates.tokens,
                first_token_ms=_spread(rates.first_token_ms),
                duration_ms=_spread(rates.duration_ms),
            ),
            wait_seconds=round(self._backlog.wait(), 3),
            index=IndexSeen(questions=len(self._index), unanswered=self._index.open),
            gateway=GatewaySeen(
                version=__version__,
                auth="none" if self._everybody else "token",
                cancel_on_disconnect=ours.cancel_on_disconnect,
            ),
        )

    async def _turn(self) -> None:
        while True:
            await asyncio.sleep(STEP - self._clock.wall() % STEP)
            self._figures.turn(self._clock.wall())


def _spread(found: Quantiles | None) -> Spread | None:
    return None if found is None else Spread(p50=found.p50, p95=found.p95)
