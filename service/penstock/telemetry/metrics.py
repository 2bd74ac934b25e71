"""Which metrics are there? Their names, types, units and meaning; the README's table is made of
this, and a test holds the dashboard, the alerts and what a process serves against it.

Names are Prometheus' (https://prometheus.io/docs/practices/naming/): base units, named at the end;
a counter is served with `_total`. Every label is bounded: programs and models by the settings,
partitions by the assignment, kinds and codes by `penstock.core.failure`, whatever a program raises.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

Together = Literal["sum", "max", "min"]
"""What several workers say of one series is served as this: see `penstock.workers.merging`."""

_FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)
_DURATION = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600)
_A_TOKEN = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)
_QUEUED = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 21_600)
_REBALANCE = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)
_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Family(NamedTuple):
    """One metric.

    Args:
        name: without the `_total` of a counter.
        kind: its type.
        means: what it counts; a unit stands in the name.
        labels: by which its series differ.
        buckets: upper bounds of a histogram's, in the metric's unit.
        together: what several workers say, as one. By partition it is the worst that one of them
            says: while a partition moves, two may speak of it.
    """

    name: str
    kind: Kind
    means: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    together: Together = "sum"

    @property
    def served_as(self) -> str:
        """As PromQL names it; a histogram's series have `_bucket`, `_sum` and `_count` behind."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


# --- questions ------------------------------------------------------------------------------------

RECEIVED = Family(
    "penstock_questions_received", "counter", "Questions fetched to be answered, decodable or not."
)
ENDED = Family(
    "penstock_questions_ended", "counter", "Completions acknowledged.", ("program", "status")
)
RECOVERED = Family(
    "penstock_questions_recovered",
    "counter",
    "Questions fetched again that were done: the last commit or a completion says so.",
)
HANDED_OVER_TOTAL = Family(
    "penstock_questions_handed_over",
    "counter",
    "Runs that went on here when their partition went to another member.",
)
TAKEN_OVER = Family(
    "penstock_questions_taken_over",
    "counter",
    "Questions that begin anew here: the process that had them has not ended them in time.",
)
CUT_OFF = Family(
    "penstock_questions_cut_off",
    "counter",
    "Runs given up for another member, which may ask the model again.",
)
DEAD_LETTERS = Family(
    "penstock_dead_letters", "counter", "Questions given up for good.", ("kind", "code")
)
ATTEMPTS = Family("penstock_attempts", "counter", "Runs of a program begun, again or first.")
ATTEMPTS_FAILED = Family(
    "penstock_attempts_failed",
    "counter",
    "Attempts that failed and are followed by another.",
    ("kind", "code"),
)

# --- how long -------------------------------------------------------------------------------------

QUEUED = Family(
    "penstock_queued_seconds",
    "histogram",
    "From when a question was asked to its first start.",
    ("program",),
    _QUEUED,
)
FIRST_TOKEN = Family(
    "penstock_first_token_seconds",
    "histogram",
    "From a question's first start to its first token.",
    ("program",),
    _FIRST_TOKEN,
)
A_TOKEN = Family(
    "penstock_time_per_token_seconds",
    "histogram",
    "From one piece of text the model streams to the next: the mean of each question.",
    ("program",),
    _A_TOKEN,
)
DURATION = Family(
    "penstock_question_duration_seconds",
    "histogram",
    "From a question's first start to its end.",
    ("program",),
    _DURATION,
)

# --- tokens ---------------------------------------------------------------------------------------

TOKENS = Family("penstock_tokens", "counter", "Pieces of text the models streamed.", ("program",))
MERGED = Family(
    "penstock_tokens_merged",
    "counter",
    "Of these, those added to an event that waited to leave: Kafka or the process was busy.",
    ("program",),
)
SINK_WAIT = Family(
    "penstock_sink_wait_seconds",
    "counter",
    "That programs waited before they could say more: Kafka takes their tokens slower than the "
    "model speaks.",
    ("program",),
)
USAGE = Family(
    "penstock_model_tokens",
    "counter",
    "Tokens as the model's provider counts them: `type` prompt or completion.",
    ("program", "type"),
)

# --- the pool -------------------------------------------------------------------------------------

SLOTS = Family("penstock_slots", "gauge", "Questions that may run at once.")
IN_FLIGHT = Family("penstock_in_flight", "gauge", "Questions running.")
WAITING = Family("penstock_waiting", "gauge", "Questions fetched and not started.")
RETRYING = Family("penstock_retrying", "gauge", "Questions between two attempts.")
HANDED_OVER = Family(
    "penstock_handed_over",
    "gauge",
    "Questions that go on here although their partition is another member's.",
)
HELD = Family("penstock_held", "gauge", "Questions of our partitions that go on in other members.")
ABANDONED = Family(
    "penstock_abandoned",
    "gauge",
    "Runs that do not end although they were told to; each keeps its slot.",
)
THREADS = Family(
    "penstock_program_thread_seconds",
    "counter",
    "That programs and their tools spent in threads, beside the event loop.",
    ("program",),
)
LOOP_LAG = Family(
    "penstock_event_loop_lag_seconds",
    "histogram",
    "That the event loop was late, looked at every second.",
    (),
    _LAG,
)

# --- partitions -----------------------------------------------------------------------------------

ASSIGNED = Family("penstock_assigned_partitions", "gauge", "Partitions of ours.")
PAUSED_PARTITIONS = Family(
    "penstock_paused_partitions",
    "gauge",
    "Partitions paused: above the high mark, or because nothing of them may start.",
)
PAUSED = Family(
    "penstock_paused",
    "gauge",
    "1: an operator wants nothing of this scope to start; see `penstock resume`.",
    ("scope",),
    together="max",
)
GATE_SHUT = Family(
    "penstock_gate_shut",
    "gauge",
    "1: too many questions failed for good, and an operator has to see to it.",
    together="max",
)
LAG = Family(
    "penstock_commit_lag",
    "gauge",
    "Records between the last commit and the end of the log, as Kafka's own tools count them.",
    ("partition",),
    together="max",
)
BACKLOG = Family(
    "penstock_backlog",
    "gauge",
    "Questions not done: the lag without those done beyond the commit and without the markers of "
    "transactions that were read past.",
    ("partition",),
    together="max",
)
OLDEST = Family(
    "penstock_oldest_unresolved_seconds",
    "gauge",
    "Since the record was fetched that holds back the commits; 0: none does.",
    ("partition",),
    together="max",
)
COMMIT_AGE = Family(
    "penstock_commit_age_seconds",
    "gauge",
    "Since the last commit was acknowledged, before the first of ours since the partition came; it "
    "is repeated every 3 s.",
    ("partition",),
    together="max",
)
OFFSET_MAP = Family(
    "penstock_offset_map_bytes",
    "gauge",
    "Of what the last commit says of offsets done beyond it, and of running questions.",
    ("partition",),
    together="max",
)
OFFSET_MAP_LIMIT = Family(
    "penstock_offset_map_limit_bytes",
    "gauge",
    "Of the same at most: from 75 % on nothing starts that would make it grow.",
    together="min",
)
# All members of a group see the same ones; of how long each took, the quickest tells.
REBALANCE = Family(
    "penstock_rebalance_duration_seconds",
    "histogram",
    "From when the group took partitions from us until it gave us some.",
    (),
    _REBALANCE,
    together="max",
)
LOG_RESETS = Family(
    "penstock_log_resets",
    "counter",
    "Times a partition's log had lost what was next: retention, or another log.",
    ("cause",),
)

# --- models and the process -----------------------------------------------------------------------

MODEL_SHUT = Family(
    "penstock_model_shut",
    "gauge",
    "1: the model is not called, for this cause.",
    ("model", "cause"),
    together="max",
)
MODEL_LIMIT = Family(
    "penstock_model_limit",
    "gauge",
    "Calls at once that the model serves without a queue, as far as is known.",
    ("model",),
)
KAFKA_REACHABLE = Family(
    "penstock_kafka_reachable",
    "gauge",
    "0: no broker answers; it is tried every 2 s.",
    together="min",
)
BUILD = Family(
    "penstock_build_info",
    "gauge",
    "1; its release stands in the label.",
    ("version",),
    together="max",
)

# --- the gateway ----------------------------------------------------------------------------------

GATEWAY_REQUESTS = Family(
    "penstock_gateway_requests",
    "counter",
    "Requests answered, a stream when it ends; `route` as in the OpenAPI document.",
    ("route", "status"),
)
GATEWAY_SECONDS = Family(
    "penstock_gateway_request_seconds",
    "histogram",
    "From a request to the head of its answer.",
    ("route",),
    _REQUEST,
)
GATEWAY_STREAMS = Family(
    "penstock_gateway_streams", "gauge", "Streams of questions that clients read now."
)
GATEWAY_BEHIND = Family(
    "penstock_gateway_streams_behind",
    "gauge",
    "Of these, those that read older records from Kafka: late, slow or resumed.",
)
GATEWAY_INDEX = Family(
    "penstock_gateway_questions",
    "gauge",
    "Questions that are found by their id; `state` open or ended.",
    ("state",),
    together="max",
)
GATEWAY_DELAY = Family(
    "penstock_gateway_event_delay_seconds",
    "histogram",
    "From the append of a token record to when it is handed to its streams.",
    (),
    _LAG,
)

SERVICE = (
    RECEIVED,
    ENDED,
    RECOVERED,
    HANDED_OVER_TOTAL,
    TAKEN_OVER,
    CUT_OFF,
    DEAD_LETTERS,
    ATTEMPTS,
    ATTEMPTS_FAILED,
    QUEUED,
    FIRST_TOKEN,
    A_TOKEN,
    DURATION,
    TOKENS,
    MERGED,
    SINK_WAIT,
    USAGE,
    SLOTS,
    IN_FLIGHT,
    WAITING,
    RETRYING,
    HANDED_OVER,
    HELD,
    ABANDONED,
    THREADS,
    LOOP_LAG,
    ASSIGNED,
    PAUSED_PARTITIONS,
    PAUSED,
    GATE_SHUT,
    LAG,
    BACKLOG,
    OLDEST,
    COMMIT_AGE,
    OFFSET_MAP,
    OFFSET_MAP_LIMIT,
    REBALANCE,
    LOG_RESETS,
    MODEL_SHUT,
    MODEL_LIMIT,
    KAFKA_REACHABLE,
    BUILD,
)
"""Served by `penstock serve`, each from its start on; those of the process (`process_*`) beside."""

GATEWAY = (
    GATEWAY_REQUESTS,
    GATEWAY_SECONDS,
    GATEWAY_STREAMS,
    GATEWAY_BEHIND,
    GATEWAY_INDEX,
    GATEWAY_DELAY,
    BUILD,
)
"""Served by `penstock gateway`, and beside those above by `penstock serve --gateway`."""

_OF_THE_PROCESS: Mapping[str, Together] = {
    # When one of them was started again, it changes.
    "process_start_time_seconds": "max",
    # Each has a limit of its own: the one that is nearest to it.
    "process_open_fds": "max",
    "process_max_fds": "min",
}
"""Those that do not add up, as time and memory do."""


def together(name: str) -> Together:
    """By the name of a family, without the `_total` of a counter."""
    return _TOGETHER.get(name, "sum")


_TOGETHER = {
    **{family.name: family.together for family in (*SERVICE, *GATEWAY)},
    **_OF_THE_PROCESS,
}
