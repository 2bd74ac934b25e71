"""What is said of one question, from its first token to its end?"""

from pydantic import ValidationError

from penstock.events.completion import Completion
from penstock.events.token import End, Progress, Restart, Token, TokenEvent

Event = Token | Restart | Progress | End | Completion
"""Token events in their order; the last is the completion."""


def read(value: bytes, *, completion: bool) -> Event | None:
    """A record of the completions, or of the tokens; None: of a later version, or not ours."""
    try:
        if completion:
            return Completion.model_validate_json(value)
        return TokenEvent.model_validate_json(value).root
    except ValidationError:
        return None
