"""Who asks, and what may he ask?"""

from dataclasses import dataclass

from penstock.gateway.problem import ProblemError


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has shown a token, or none where none is wanted.

    Args:
        subject: by which he is told from others; empty: nobody has a name here.
        programs: that he may ask and read answers of; None: all.
        operator: whether he may pause, redrive, and read dead letters and replays.
    """

    subject: str = ""
    programs: frozenset[str] | None = None
    operator: bool = False

    def may_ask(self, program: str) -> bool:
        return self.programs is None or program in self.programs

    def must_operate(self) -> None:
        """Raises ProblemError (403): he is no operator."""
        if not self.operator:
            raise ProblemError(
                403, "operators_only", "this needs the token of an operator; see `penstock token`"
            )
