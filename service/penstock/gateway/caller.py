"""Who asks, and what may he ask?"""

from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.gateway.problem import ProblemError


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has shown a token, or none where none is wanted.

    Args:
        subject: by which he is told from others; empty: nobody has a name here.
        programs: that he may ask and read answers of; None: all.
        operator: whether he may pause, redrive, and read dead letters and replays.
        requests_per_minute: of his token; None: as everybody's.
        holds: whether his token is still good; a connection may outlive it.
    """

    subject: str = ""
    programs: frozenset[str] | None = None
    operator: bool = False
    requests_per_minute: int | None = None
    holds: Callable[[], bool] = field(default=lambda: True, compare=False, repr=False)

    def may_ask(self, program: str) -> bool:
        return self.programs is None or program in self.programs

    def must_hold(self) -> None:
        """Raises ProblemError (401): his token is not good any more."""
        if not self.holds():
            raise unknown("the token has expired, or was withdrawn")

    def must_operate(self) -> None:
        """Raises ProblemError (403): he is no operator."""
        if not self.operator:
            raise ProblemError(
                403,
                "operators_only",
                "this needs the token of an operator: of `penstock token NAME --operator`, or, "
                "where there are no tokens, the one that the gateway logs at its start",
                headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )


def unknown(detail: str) -> ProblemError:
    """A token that is not to be believed. `detail`: why, without a word of it."""
    challenge = f'Bearer error="invalid_token", error_description="{detail}"'
    return ProblemError(401, "invalid_token", detail, headers={"WWW-Authenticate": challenge})
