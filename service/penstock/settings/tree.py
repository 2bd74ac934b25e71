"""Which settings are there? One typed tree, with what each means and its default."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Milliseconds = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Part):
    bootstrap_servers: str = Field(
        "localhost:9092",
        description="`KAFKA_BOOTSTRAP_SERVERS` works too, where this is not set.",
    )
    group_id: str = Field("penstock", description="The consumer group of all replicas.")
    assignor: Literal["roundrobin", "range", "sticky"] = Field(
        "roundrobin",
        description="How the group deals out partitions: the same for all replicas. To change it, "
        "stop them all.",
    )
    group_instance_id: str | None = Field(
        None,
        description="Static membership (KIP-345): a name of its own for every replica, such as "
        "that of its pod in a StatefulSet. A restart within the session timeout of 10 s then "
        "keeps its partitions. Each of WORKERS adds its number: `answers-0-1`.",
    )
    client: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Security of the connection by librdkafka's names, such as "
        "`security.protocol`; see [above](#kafka-with-tls-and-passwords). In the environment "
        "`KAFKA__CLIENT__SECURITY_PROTOCOL`.",
    )


class TopicSettings(_Part):
    questions: str = Field("penstock.questions", description="Where questions are read.")
    tokens: str = Field("penstock.tokens", description="What is being said, piece by piece.")
    completions: str = Field("penstock.completions", description="One for every question.")
    dead_letters: str = Field(
        "penstock.dead-letters", description="Questions that were given up, byte for byte."
    )
    control: str = Field(
        "penstock.control", description="What is asked of all replicas; one partition, compacted."
    )
    create: bool = Field(True, description="Create the topics that are missing.")
    partitions: Positive = Field(
        6, description="Of a questions topic we create; the others take its number."
    )
    replication_factor: Positive | None = Field(
        None, description="Of topics we create. Default: 3, or as many brokers as there are."
    )


class PoolSettings(_Part):
    slots: Positive = Field(64, description="Questions that run at once, in each of WORKERS.")
    ordering: Literal["key", "partition", "none"] = Field(
        "key",
        description="What runs one at a time, in order: questions of one key, of one partition, "
        "or nothing.",
    )


class IntakeSettings(_Part):
    high: Positive = Field(200, description="Records waiting per partition at which it is paused.")
    low: Annotated[int, Field(ge=0)] = Field(100, description="... and at which it is resumed.")


class DeadlineSettings(_Part):
    default_ms: Positive = Field(
        120_000, description="From the first start, for questions that name no deadline."
    )
    max_ms: Positive = Field(600_000, description="Caps what a question asks for.")
    dead_letter: bool = Field(True, description="Whether an expired question is dead-lettered.")
    partial: bool = Field(
        False,
        description="Whether the completion of an expired question holds what was streamed, in "
        "`outputs`, with `partial: true`.",
    )


class RetrySettings(_Part):
    max_attempts: Positive = Field(
        5,
        description="Of a question whose model is in trouble. What fails while the model is not "
        "called at all does not count; with less than BREAKER__FAILURES a lone question is given "
        "up before that is known.",
    )
    answer_attempts: Positive = Field(
        3, description="... and of one whose answer cannot be used, or whose program raises."
    )
    base_ms: Positive = Field(
        500, description="The n-th wait is drawn from 0 to this times 2^(n-1) ..."
    )
    cap_ms: Positive = Field(
        30_000, description="... and to this at most; but never before `Retry-After`."
    )


class BreakerSettings(_Part):
    failures: Positive = Field(
        5, description="A model that fails so often one after the other is not called any more, ..."
    )
    ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description="... nor one that fails so often if this is at least this part of its calls.",
    )
    window_ms: Positive = Field(30_000, description="Calls that ended longer ago do not count.")
    probe_ms: Positive = Field(
        5_000, description="How often one call finds out whether the model is back."
    )


class LimiterSettings(_Part):
    mode: Literal["off", "observe", "enforce"] = Field(
        "observe",
        description="How many calls at once a model serves without a queue is found out, and may "
        "be enforced.",
    )
    min: Positive = Field(4, description="It is never less, and never more than POOL__SLOTS.")


class GateSettings(_Part):
    action: Literal["pause", "exit"] = Field(
        "pause",
        description="When too many questions fail for good: wait for `penstock resume`, or exit "
        "with code 4. Those that are too many are kept, and not committed.",
    )
    run: Positive = Field(20, description="Dead letters one after the other are too many ...")
    ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description="... and so is this part, of at least so many questions within the window. "
        "Kind `RECORD` does not count, nor what expired before its turn.",
    )
    window_ms: Positive = Field(60_000, description="The window of GATE__RATIO.")


class DeadLetterSettings(_Part):
    headers: Literal["kafka", "spring", "connect"] = Field(
        "kafka", description="By whose names they say what happened (KIP-1191, Spring, KIP-298)."
    )


class CommitSettings(_Part):
    interval_ms: Positive = Field(1_000, description="Offsets are committed this often ...")
    records: Positive = Field(500, description="... or after so many records, if that is sooner.")
    metadata_bytes: Annotated[int, Field(ge=256)] = Field(
        4_096,
        description="What a commit may say beside the offset: the brokers' "
        "`offset.metadata.max.bytes`.",
    )
    held_back_ms: Positive = Field(
        60_000,
        description="A question that holds back its partition's commits for longer is logged.",
    )


class DuplicateSettings(_Part):
    window_ms: Milliseconds = Field(
        600_000,
        description="The same id again in the same partition within this time is not asked again. "
        "0: it is.",
    )


class TokenSettings(_Part):
    min_interval_ms: Milliseconds = Field(
        0,
        description="Merges what a question says within this time into one record. All that run "
        "together write 2,000 token records a second at most: with 64, one every 32 ms each.",
    )


class BoundSettings(_Part):
    id_characters: Positive = Field(
        256, description="Of a question's `id`. What exceeds a bound is a dead letter at once."
    )
    metadata_bytes: Positive = Field(8 * 1024, description="Of its `metadata`, as JSON.")
    value_bytes: Positive = Field(1024 * 1024, description="Of its record's value.")


class HeaderSettings(_Part):
    forward: tuple[str, ...] = Field(
        ("ce_correlationid", "kafka_correlationId"),
        description="Headers of a question that travel on to its tokens and its completion.",
    )

    @field_validator("forward", mode="before")
    @classmethod
    def _separated_by_commas(cls, names: Any) -> Any:
        return _names(names)


class ProgramSettings(_Part):
    entry: str = Field(description="A DSPy signature, or `package.module:attribute`.")
    state: Path | None = Field(
        None,
        description='What an optimizer has learned, from `program.save("state.json")`; JSON only.',
    )
    model: str = Field("default", description="The name of one of MODELS.")
    version: str | None = Field(
        None,
        description="Stands in completions. Default: a hash of instructions, fields and demos.",
    )
    timeout_ms: Positive | None = Field(None, description="Default: DEADLINE__DEFAULT_MS.")

    @model_validator(mode="before")
    @classmethod
    def _entry_alone(cls, said: Any) -> Any:
        return {"entry": said} if isinstance(said, str) else said

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        table = handler(schema)
        entry = handler.resolve_ref_schema(table)["properties"]["entry"]
        return {"anyOf": [{"type": "string", "description": entry["description"]}, table]}


class ModelSettings(_Part):
    name: str = Field(description="As DSPy names it: `openai/gpt-4o-mini`.")
    api_base: str | None = Field(
        None,
        description="`OPENAI_BASE_URL` and `OPENAI_API_BASE` work too, for `openai/...`.",
    )
    api_key: SecretStr | None = Field(
        None, description="`OPENAI_API_KEY` works too, and what other providers call theirs."
    )
    engine: Literal["auto", "openai", "native", "litellm"] = Field(
        "auto",
        description="The client. `openai`: our own, for endpoints that speak OpenAI's chat "
        "completions; `native`: DSPy's own; `litellm`: has to be installed, and does more "
        "providers. `auto`: `openai` where that is possible, else `native`.",
    )
    connect_ms: Positive = Field(5_000, description="For a connection to the model.")
    first_token_ms: Positive | None = Field(
        None,
        description="From the request to the first word or thought. Default: the question's "
        "deadline alone; a model may think for minutes, and asking again is paid for again.",
    )
    idle_ms: Positive = Field(
        30_000, description="Of silence between two pieces of an answer. Not with DSPy's client."
    )
    adapter: Literal["chat", "json", "plain"] = Field(
        "chat",
        description="How fields travel in the prompt. `plain`: one text output, for small models.",
    )
    rpm: Positive | None = Field(None, description="Requests a minute that are granted.")
    tpm: Positive | None = Field(None, description="Tokens a minute that are granted.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="More for the model: `temperature`, `max_tokens` ..."
    )

    @field_validator("options")
    @classmethod
    def _numbers_from_the_environment(cls, options: dict[str, Any]) -> dict[str, Any]:
        return {name: _json_or_text(value) for name, value in options.items()}


class HandoverSettings(_Part):
    max_ms: Positive = Field(
        600_000,
        description="How long a question may go on where it runs when its partition is another "
        "replica's. If that process dies, the question starts again after this time, or its own.",
    )


class TelemetrySettings(_Part):
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9464,
        description="Of `/metrics`, `/statusz` and the probes `/livez`, `/readyz` and `/startupz`. "
        "0: a free one.",
    )


class JwtSettings(_Part):
    jwks_url: str = Field(description="Where the issuer's keys are (RFC 7517).")
    issuer: str = Field(description="`iss` has to be this.")
    audience: str = Field(description="`aud` has to name this.")
    programs_claim: str = Field(
        "penstock_programs",
        description="The claim that names the programs which may be asked, as a list. A token "
        "without it may ask all.",
    )
    operator_claim: str = Field(
        "penstock_operator", description="The claim that is `true` of an operator's token."
    )


class GatewaySettings(_Part):
    host: str = Field(
        "127.0.0.1",
        description="Where it listens. Any other than this machine itself needs GATEWAY__TOKENS or "
        "GATEWAY__JWT, or GATEWAY__OPEN.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="0: a free one.")
    telemetry_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None,
        description="Of `/metrics`, `/livez`, `/readyz` and `/startupz` of a `penstock gateway`, "
        "for whoever keeps it running. 0: a free one. Default: there is none.",
    )
    tokens: Path | None = Field(
        None,
        description="A TOML file of bearer tokens, by their hashes; `penstock token` writes them.",
    )
    jwt: JwtSettings | None = Field(
        None, description="Bearer tokens of an issuer (RFC 7519), beside those of GATEWAY__TOKENS."
    )
    open: bool = Field(
        False, description="Whether everybody who reaches it may ask without a token."
    )
    requests_per_minute: Positive | None = Field(
        None, description="Of one token that says nothing else; what is more gets a 429."
    )
    origins: tuple[str, ...] = Field(
        (),
        description="Of web pages elsewhere that may use it (CORS), such as "
        "`https://app.example.com`, with commas between.",
    )
    max_wait_ms: Positive = Field(
        120_000,
        description="A question that would wait longer for its start gets a 429. With a deadline "
        "of its own, that counts.",
    )
    cancel_on_disconnect: bool = Field(
        False, description="Whether a client that goes away cancels what it waits for."
    )
    window_ms: Positive = Field(
        3_600_000, description="How long a question is found by its id, from when it was asked."
    )
    window_ids: Positive = Field(
        100_000, description="How many questions are found at most; each takes a kilobyte."
    )
    docs: bool = Field(True, description="Whether `/docs` and `/openapi.json` are served.")
    console: bool = Field(True, description="Whether the console is served at `/`.")

    @field_validator("origins", mode="before")
    @classmethod
    def _separated_by_commas(cls, names: Any) -> Any:
        return _names(names)


class Settings(_Part):
    """Everything an operator decides."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    pool: PoolSettings = PoolSettings()
    intake: IntakeSettings = IntakeSettings()
    deadline: DeadlineSettings = DeadlineSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    limiter: LimiterSettings = LimiterSettings()
    gate: GateSettings = GateSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    commit: CommitSettings = CommitSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    handover: HandoverSettings = HandoverSettings()
    tokens: TokenSettings = TokenSettings()
    bounds: BoundSettings = BoundSettings()
    headers: HeaderSettings = HeaderSettings()
    programs: dict[str, ProgramSettings] = Field(
        default_factory=lambda: {"qa": ProgramSettings(entry="question -> answer")},
        description="Name to program. Default: `qa`, the signature `question -> answer`.",
    )
    default_program: str | None = Field(
        None, description="For questions that name none. Default: the first of PROGRAMS."
    )
    model: ModelSettings | None = Field(
        None, description="The model named `default`: MODEL__NAME, and so on as in MODELS."
    )
    models: dict[str, ModelSettings] = Field(
        default_factory=dict, description="Name to model, for programs that name theirs."
    )
    telemetry: TelemetrySettings = TelemetrySettings()
    gateway: GatewaySettings = GatewaySettings()
    workers: Positive = Field(
        1,
        description="Processes of one `penstock serve`, for a machine with many cores: each is a "
        "member of the group of its own, with its own POOL__SLOTS.",
    )
    drain_ms: Milliseconds = Field(
        25_000, description="Running questions may finish within this time at SIGTERM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Of a line: for machines, or for people; `auto`: by the terminal."
    )

    @property
    def all_models(self) -> dict[str, ModelSettings]:
        return self.models if self.model is None else {"default": self.model, **self.models}


def _names(said: Any) -> Any:
    return [name.strip() for name in said.split(",")] if isinstance(said, str) else said


def _json_or_text(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
