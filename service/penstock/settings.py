"""The only reader of the environment: one typed tree of settings.

Flags come before the environment, then `.env`, then `penstock.toml`, then the defaults below.
Environment names are `PENSTOCK_` plus the path, joined by `__`: `PENSTOCK_POOL__SLOTS=128`.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from penstock.errors import ConfigurationError

PREFIX = "PENSTOCK_"
TEST_PREFIX = "PENSTOCK_TEST_"
"""What the tests are told, which is nobody's setting."""
SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_PORT(_\d+_.*)?$")
"""What Kubernetes tells every pod about a Service called penstock, or penstock-something."""
TOML_FILE = Path("penstock.toml")

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
        "keeps its partitions.",
    )
    client: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Security of the connection by librdkafka's names, such as "
        "`security.protocol`; see [above](#kafka-with-tls-and-passwords). In the environment "
        "`KAFKA__CLIENT__SECURITY_PROTOCOL`.",
    )

    @field_validator("client", mode="before")
    @classmethod
    def _with_dots(cls, client: Any) -> Any:
        return dict(_dotted("", client)) if isinstance(client, dict) else client


class TopicSettings(_Part):
    questions: str = "penstock.questions"
    tokens: str = "penstock.tokens"
    completions: str = "penstock.completions"
    dead_letters: str = "penstock.dead-letters"
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
    slots: Positive = Field(64, description="Questions that run at once.")
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
    window_ms: Positive = 60_000


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
    id_characters: Positive = 256
    metadata_bytes: Positive = 8 * 1024
    value_bytes: Positive = 1024 * 1024


class HeaderSettings(_Part):
    forward: Annotated[tuple[str, ...], NoDecode] = Field(
        ("ce_correlationid", "kafka_correlationId"),
        description="Headers of a question that travel on to its tokens and its completion.",
    )

    @field_validator("forward", mode="before")
    @classmethod
    def _separated_by_commas(cls, names: Any) -> Any:
        return [name.strip() for name in names.split(",")] if isinstance(names, str) else names


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

    @property
    def address(self) -> str | None:
        """`api_base`, or what the environment says of OpenAI's."""
        if self.api_base is not None or not self.name.startswith("openai/"):
            return self.api_base
        # In LiteLLM's order; empty is unset.
        return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE") or None


class HandoverSettings(_Part):
    max_ms: Positive = Field(
        600_000,
        description="How long a question may go on where it runs when its partition is another "
        "replica's. If that process dies, the question starts again after this time, or its own.",
    )


class TelemetrySettings(_Part):
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9464, description="Of /metrics, /livez and /readyz. 0: a free one."
    )


class Settings(BaseSettings):
    """Everything an operator decides."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        nested_model_default_partial_update=True,
    )

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
    model: ModelSettings | None = Field(None, description="The model named `default`.")
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    telemetry: TelemetrySettings = TelemetrySettings()
    drain_ms: Milliseconds = Field(
        25_000, description="Running questions may finish within this time at SIGTERM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("programs", mode="before")
    @classmethod
    def _entry_alone(cls, programs: Any) -> Any:
        if not isinstance(programs, dict):
            return programs
        return {
            name: {"entry": entry} if isinstance(entry, str) else entry
            for name, entry in programs.items()
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        try:
            toml = TomlConfigSettingsSource(settings_cls, TOML_FILE)
        except (TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{TOML_FILE}: {error}") from error
        if unknown := set(toml.toml_data) - set(cls.model_fields):
            raise ConfigurationError(f"{TOML_FILE}: unknown setting {min(unknown)!r}")
        customary = InitSettingsSource(settings_cls, _customary_names())
        return init_settings, env_settings, customary, dotenv_settings, toml

    @property
    def all_models(self) -> dict[str, ModelSettings]:
        return self.models if self.model is None else {"default": self.model, **self.models}


class _ProjectSettings(Settings):
    """What `penstock.toml` and the caller say."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
        **more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        every = super().settings_customise_sources(settings_cls, *sources, **more)
        return every[0], every[-1]


def _dotted(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A variable's name has underscores for dots, and TOML takes a dot for a table in a table."""
    for name, value in table.items():
        path = prefix + name.replace("_", ".")
        if isinstance(value, dict):
            yield from _dotted(f"{path}.", value)
        else:
            yield path, value


def _json_or_text(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _customary_names() -> dict[str, Any]:
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return {"kafka": {"bootstrap_servers": servers}} if servers else {}


def load(**flags: Any) -> Settings:
    """The resolved tree.

    Raises:
        ConfigurationError: names the setting that is wrong, and why.
    """
    return _resolved(Settings, flags)


def of_project(**flags: Any) -> Settings:
    """As `load`, without the environment and `.env`: the same for everyone who has the project."""
    return _resolved(_ProjectSettings, flags)


def _resolved(kind: type[Settings], flags: dict[str, Any]) -> Settings:
    try:
        settings = kind(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        where = "__".join(str(part).upper() for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigurationError(f"there is no setting {where}") from error
        if first["type"] == "missing":
            raise ConfigurationError(f"setting {where} is missing") from error
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"setting {where}: {what}") from error
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error
    if kind is Settings:
        _check_environment()
    _check(settings)
    return settings


def _check_environment() -> None:
    """Whether its names are ours."""
    ours = (n for n in os.environ if n.startswith(PREFIX) and not SERVICE_LINK.search(n))
    names = {name.partition("__")[0] for name in ours}
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    if unknown := sorted(name for name in names - known if not name.startswith(TEST_PREFIX)):
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"the environment variable {unknown[0]} is no setting{hint}")


def _check(settings: Settings) -> None:
    """What no field knows alone."""
    topics = settings.topics
    five = (
        topics.questions,
        topics.tokens,
        topics.completions,
        topics.dead_letters,
        topics.control,
    )
    if len(set(five)) < len(five):
        raise ConfigurationError(f"setting TOPICS: five different topics, not {', '.join(five)}")
    if settings.deadline.default_ms > settings.deadline.max_ms:
        raise ConfigurationError("setting DEADLINE__DEFAULT_MS must not exceed DEADLINE__MAX_MS")
    if settings.model is not None and "default" in settings.models:
        raise ConfigurationError("settings MODEL and MODELS__DEFAULT are the same; set one of them")
    if settings.retry.base_ms > settings.retry.cap_ms:
        raise ConfigurationError("setting RETRY__BASE_MS must not exceed RETRY__CAP_MS")
    if settings.intake.low >= settings.intake.high:
        raise ConfigurationError("setting INTAKE__LOW must be below INTAKE__HIGH")
    if not settings.programs:
        raise ConfigurationError("setting PROGRAMS is empty: name a program to run")
    default = settings.default_program
    if default is not None and default not in settings.programs:
        raise ConfigurationError(
            f"setting DEFAULT_PROGRAM: {default!r} is none of PROGRAMS "
            f"({', '.join(settings.programs)})"
        )
