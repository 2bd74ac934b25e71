"""What of a conversation becomes which input of a program?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.events.member import Served
from penstock.gateway.problem import ProblemError

QUESTION = "question"
MESSAGES = "messages"


class Turn(NamedTuple):
    """One message. `role`: `system`, `developer`, `user` or `assistant`."""

    role: str
    text: str


def inputs(turns: Sequence[Turn], model: str, program: Served | None) -> dict[str, Any]:
    """The input fields.

    The text goes into `question`, or into the only field that the program needs; the messages go,
    as a list, into `messages`, if it has one.

    Args:
        turns: the conversation; one at least.
        model: the program's name.
        program: what is known of it; None: nothing, and it has a `question`.

    Raises:
        ProblemError: (400) it needs something else.
    """
    needed = {QUESTION} if program is None else set(program.inputs)
    accepted = needed if program is None else needed | set(program.accepts)
    field = _field(needed - {MESSAGES}, accepted - {MESSAGES})
    given: dict[str, Any] = {} if field is None else {field: transcript(turns)}
    if MESSAGES in accepted:
        given[MESSAGES] = [{"role": turn.role, "content": turn.text} for turn in turns]
    missing = sorted(needed - given.keys())
    if missing or not given:
        needs = ", ".join(missing or sorted(accepted)) or "no input at all"
        raise ProblemError(
            400,
            "other_inputs",
            f"a conversation does not say what the program {model!r} needs ({needs}); "
            "ask it at /v1/questions",
            param="model",
        )
    return given


def transcript(turns: Sequence[Turn]) -> str:
    """One message of a user as it is; more of them with who says what, and lines between."""
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].text
    return "\n\n".join(f"{turn.role}: {turn.text}" for turn in turns)


def _field(needed: set[str], accepted: set[str]) -> str | None:
    if QUESTION in accepted:
        return QUESTION
    candidates = needed or accepted
    return next(iter(candidates)) if len(candidates) == 1 else None
