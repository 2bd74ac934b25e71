"""How is a service set up that answers again? As the one that is, but for where it answers."""

from penstock.errors import ConfigurationError
from penstock.replay.plan import Plan
from penstock.settings import ProgramSettings, Settings
from penstock.settings.programs import program_named


def for_replay(settings: Settings, plan: Plan, slots: int | None = None) -> Settings:
    """`settings`: of this machine. `slots`: other than its own.

    Raises:
        ConfigurationError: they are not of the topic that the plan is about, or do not know the
            program or the model that is to answer.
    """
    if settings.topics.questions != plan.questions:
        raise ConfigurationError(
            f"replay {plan.id!r} is about the topic {plan.questions!r}, and TOPICS__QUESTIONS is "
            f"{settings.topics.questions!r}"
        )
    said = {name: getattr(plan, name) for name in ("tokens", "completions", "dead_letters")}
    kafka = {"group_id": plan.group, "group_instance_id": None}
    pool = {} if slots is None else {"slots": slots}
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=kafka),
            "topics": settings.topics.model_copy(update=said),
            # Whether an id was asked before does not count, and need not be known.
            "duplicates": settings.duplicates.model_copy(update={"window_ms": 0}),
            "pool": settings.pool.model_copy(update=pool),
            # Nobody watches a job who could resume it; and the same id goes on with it.
            "gate": settings.gate.model_copy(update={"action": "exit"}),
            # Beside a service, and others of its kind.
            "telemetry": settings.telemetry.model_copy(update={"port": 0}),
            "programs": _programs(settings, plan),
        }
    )


def _programs(settings: Settings, plan: Plan) -> dict[str, ProgramSettings]:
    programs = dict(settings.programs)
    if plan.program is not None:
        programs.update([program_named(settings, plan.program)])
    if plan.model is None:
        return programs
    if plan.model not in settings.all_models:
        raise ConfigurationError(
            f"model {plan.model!r} is none of MODELS ({', '.join(settings.all_models)})"
        )
    asked = {"model": plan.model}
    return {name: program.model_copy(update=asked) for name, program in programs.items()}
