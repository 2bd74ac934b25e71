"""What has a process of the service done since its start? In its reports, and at `/statusz`."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, computed_field


class Sums(BaseModel):
    """Of questions. Those of several processes add up; averages are made of them."""

    model_config = ConfigDict(extra="ignore")

    total: int = Field(0, description="That have ended here, and those that are here now.")
    active: int = Field(0, description="That run now.")
    completed: int = Field(0, description="That ended so, as the others by their completions.")
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    duplicate: int = 0
    ran: int = Field(0, description="Of those that ended, the ones that were started.")
    ran_ms: float = Field(0, description="From their first start to their end, all together.")
    spoke: int = Field(0, description="Of these, the ones whose model said something.")
    spoke_ms: float = Field(0, description="From their first start to that, all together.")

    @computed_field(description="Those that failed or expired.")  # type: ignore[prop-decorator]
    @property
    def errors(self) -> int:
        return self.failed + self.expired

    @computed_field(description="Null: none has ended.")  # type: ignore[prop-decorator]
    @property
    def average_duration_ms(self) -> float | None:
        return _average(self.ran_ms, self.ran)

    @computed_field(description="Null: none has said anything.")  # type: ignore[prop-decorator]
    @property
    def average_first_token_ms(self) -> float | None:
        return _average(self.spoke_ms, self.spoke)


class ProcessStanding(BaseModel):
    """How one process of the service stands."""

    version: str
    group: str
    member_id: str = Field(
        description="As Kafka's group knows it; empty before it has joined, and of several workers."
    )
    started_at: str = Field(description="RFC 3339.")
    uptime_seconds: float
    partitions: list[int] = Field(description="Assigned to it, of the questions.")
    paused: list[int] = Field(description="Of these, the ones from which it fetches nothing now.")
    backlog: int = Field(
        description="Questions of its partitions that are not done, as `penstock_backlog` has it."
    )
    waiting: int = Field(description="Questions fetched and not started.")
    retrying: int = Field(description="Questions between two attempts.")
    gate_shut: bool = Field(description="Too many failed for good: it waits for an operator.")
    draining: bool = Field(description="It was asked to stop, and finishes what it runs.")
    questions: Sums = Field(description="Since its start.")


class Worker(BaseModel):
    """One of the processes of `penstock serve --workers`."""

    worker: int = Field(description="Its number, from 0 on.")
    pid: int | None = Field(description="Null: it waits to be started again.")
    restarts: int = Field(description="How often it was started again.")
    telemetry: str | None = Field(
        description="Where it has `/metrics` and the probes of its own, for this machine alone."
    )
    standing: ProcessStanding | None = Field(
        description="Null: it has not begun, or does not answer."
    )


class Standing(ProcessStanding):
    """How a service stands that was started once: `GET /statusz` on TELEMETRY__PORT.

    Fields may be added; those that are there keep their names and meaning.
    """

    workers: list[Worker] = Field(
        default_factory=list,
        description="What each of WORKERS says, of which the rest is made. Empty: it is one alone.",
    )


def added(sums: Iterable[Sums]) -> Sums | None:
    """All together; None: there are none."""
    several = list(sums)
    if not several:
        return None
    fields = Sums.model_fields
    return Sums(**{name: sum(getattr(one, name) for one in several) for name in fields})


def _average(total: float, count: int) -> float | None:
    return round(total / count, 1) if count else None
