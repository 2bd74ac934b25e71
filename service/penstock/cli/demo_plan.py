"""What does the demo serve, by which models, and what is it asked?

A program of its own; in a project, whose `penstock.toml` is here, the project's programs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, TypeAdapter

from penstock.errors import ConfigurationError
from penstock.local.fitting import fitting
from penstock.settings import (
    IntakeSettings,
    KafkaSettings,
    ModelSettings,
    PoolSettings,
    ProgramSettings,
    Settings,
    TelemetrySettings,
    load,
)
from penstock.settings.programs import default_program

if TYPE_CHECKING:
    from penstock.program.catalog import Program

PROJECT = Path("penstock.toml")
SLOTS = 3
OWN = "qa"
TEXT = {"type": "string"}

QUESTIONS = (
    "Why is the sky blue?",
    "How do bees find their way home?",
    "Why do cats purr?",
    "What is a black hole?",
    "Why does bread rise?",
    "How do whales sleep?",
    "Why is the sea salty?",
    "What makes a rainbow?",
    "How do birds fly?",
    "Why do leaves fall in autumn?",
    "Where does the wind come from?",
    "Why do we dream?",
)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A model of this machine."""

    settings: ModelSettings
    title: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is served, before there is a Kafka or a model.

    Args:
        settings: the project's own, or the demo's.
        plain: the programs with one text output in each step: all that so small a model can do.
        default: the program that is asked.
        inputs: the fields it is asked by, each with the JSON schema of what fits.
        replaced: the model it would ask, were this not the demo; None outside of a project.
    """

    settings: Settings
    plain: frozenset[str]
    default: str
    inputs: Mapping[str, dict[str, Any]]
    replaced: str | None

    def questions(self, count: int) -> list[dict[str, Any]]:
        """The inputs of so many questions."""
        return [self.question(QUESTIONS[n % len(QUESTIONS)]) for n in range(count)]

    def question(self, text: str) -> dict[str, Any]:
        """This text, wherever a text fits."""
        return {field: fitting(schema, text) for field, schema in self.inputs.items()}

    def served(self, bootstrap_servers: str, models: "Models") -> Settings:
        """The settings of the service: a model of this machine in place of every other."""
        own = self.settings
        return own.model_copy(
            update={
                "kafka": KafkaSettings(
                    bootstrap_servers=bootstrap_servers, group_id=own.kafka.group_id
                ),
                "topics": own.topics.model_copy(
                    update={"create": True, "partitions": 2, "replication_factor": None}
                ),
                "pool": PoolSettings(slots=SLOTS, ordering=own.pool.ordering),
                # Low enough for a handful of questions to pause the intake.
                "intake": IntakeSettings(high=2, low=1),
                "programs": {
                    name: program.model_copy(update={"model": name})
                    for name, program in own.programs.items()
                },
                "model": None,
                "models": {name: self._of(name, models).settings for name in own.programs},
                "telemetry": TelemetrySettings(port=0),
                "drain_ms": 1_000,
            }
        )

    def title(self, models: "Models") -> str:
        """By whom it is answered."""
        title = self._of(self.default, models).title
        return title if self.replaced is None else f"{title}, in place of {self.replaced}"

    def _of(self, program: str, models: "Models") -> StandIn:
        return models.small if program in self.plain else models.typed


@dataclass(frozen=True, slots=True)
class Models:
    """`small` says one text; `typed` fills any form, and knows nothing."""

    small: StandIn
    typed: StandIn


def plan() -> Plan:
    """The project's, where there is one. It imports its programs: a mistake in one shows at once.

    Raises:
        ConfigurationError: the project's settings or one of its programs cannot be used.
    """
    if not PROJECT.exists():
        # Nothing of the environment: the demo shows the same to everyone.
        own = ProgramSettings(entry="penstock.cli.demo_program:Answer")
        settings = Settings.model_construct(programs={OWN: own})
        return Plan(settings, frozenset({OWN}), OWN, {"question": TEXT}, None)
    from penstock import assembly

    settings = load()
    programs = assembly.load_programs(_with_a_model(settings))
    for name, program in programs.items():
        _pays_nobody(name, program)
    default = default_program(settings)
    model = settings.all_models.get(settings.programs[default].model)
    return Plan(
        settings,
        frozenset(name for name, program in programs.items() if _is_plain(program)),
        default,
        _inputs(programs[default]),
        "no model" if model is None else model.name,
    )


def _with_a_model(settings: Settings) -> Settings:
    """Whose programs can be loaded, with no key at hand; it is not asked."""
    any_model = ModelSettings(name="openai/any", api_base="http://localhost", api_key="none")
    models = {program.model: any_model for program in settings.programs.values()}
    return settings.model_copy(update={"model": None, "models": models})


def _pays_nobody(name: str, program: "Program") -> None:
    """Raises ConfigurationError: no model of this machine can take the place of a step's own."""
    for step, predictor in program.module.named_predictors():
        if predictor.lm is not None:
            raise ConfigurationError(
                f"program {name!r}: its step {step!r} has a model of its own ({predictor.lm.model})"
                ", which the demo would ask and you would pay; see it with `penstock serve`"
            )


def _is_plain(program: "Program") -> bool:
    from penstock.program.plain import only_text_output

    try:
        for _, predictor in program.module.named_predictors():
            only_text_output(predictor.signature)
    except ConfigurationError:
        return False
    return True


def _inputs(program: "Program") -> dict[str, dict[str, Any]]:
    """As its predictors declare the fields; what none of them knows is a text."""
    declared = {
        name: field.annotation
        for _, predictor in program.module.named_predictors()
        for name, field in predictor.signature.input_fields.items()
    }
    asked = sorted(program.inputs or program.accepts)
    return {name: _schema(declared.get(name, str)) for name in asked}


def _schema(annotation: Any) -> dict[str, Any]:
    try:
        return TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        return TEXT
