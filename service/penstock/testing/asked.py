"""What came of a question? Everything about it that is in the topics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import UnansweredError
from penstock.events.completion import Completion, CompletionStatus, Error
from penstock.events.dead_letter import origin
from penstock.events.envelope import Headers, text_header
from penstock.events.texts import Texts
from penstock.events.token import End, Progress, Restart, Token, TokenEvent
from penstock.kafka.codec import Raw
from penstock.testing.sink import place_of

_MESSAGES = (
    "__dlq.errors.message",
    "kafka_dlt-exception-message",
    "__connect.errors.exception.message",
)
"""By whichever names the settings want it told."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The original record, byte for byte, and why it could not be answered.

    Args:
        kind: such as `RECORD`: who has to act.
        code: a stable word for machines, such as `rejected`.
        message: for people.
        key: of the record.
        value: of the record.
        headers: of the record, then those that say what happened.
    """

    kind: str
    code: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: Headers


Records = Callable[[], Sequence[Raw]]
"""What is in the partition of a topic that the question's answers go to."""


class Asked:
    """A question and, when it has ended, what came of it.

    Raises:
        UnansweredError: it has not ended; by everything but `question_id`, `ended`, `tokens` and
            `text`.
    """

    def __init__(
        self,
        question_id: str,
        record: Raw,
        group: str,
        tokens: Records,
        completions: Records,
        dead_letters: Records,
    ) -> None:
        self.question_id = question_id
        self._record = record
        self._group = group
        self._tokens = tokens
        self._completions = completions
        self._dead_letters = dead_letters
        self._found: Completion | None = None

    def __repr__(self) -> str:
        how = "has not ended" if not self.ended else f"{self.status}: {self.answer or self.error}"
        return f"<{self.question_id} {how}>"

    @property
    def ended(self) -> bool:
        return self._completion() is not None

    @property
    def completion(self) -> Completion:
        """The record of the completions topic."""
        found = self._completion()
        if found is None:
            raise UnansweredError(f"{self.question_id} has not ended: `run()` waits for its end")
        return found

    @property
    def status(self) -> CompletionStatus:
        return self.completion.status

    @property
    def answer(self) -> str | None:
        """The output field `answer`, else the last text output."""
        return self.completion.answer

    @property
    def outputs(self) -> dict[str, Any]:
        """Every output field; empty where there is no answer."""
        return self.completion.outputs or {}

    @property
    def error(self) -> Error | None:
        """`kind`, `code` and `message`."""
        return self.completion.error

    @property
    def attempts(self) -> int:
        """How often the program was started."""
        return self.completion.attempts

    @property
    def dead_letter(self) -> DeadLetter | None:
        """The record of the dead letters topic, if it is there."""
        assert self.completion
        record = self._record
        wanted = (record.topic, str(record.partition), str(record.offset), self._group)
        letters = [raw for raw in self._dead_letters() if origin(raw.headers) == wanted]
        return _dead_letter(letters[-1]) if letters else None

    @property
    def tokens(self) -> list[Token | Restart | Progress | End]:
        """The records of the tokens topic, so far."""
        found = filter(self._is_ours, self._tokens())
        return [TokenEvent.model_validate_json(raw.value or b"").root for raw in found]

    def text(self, field: str = "answer") -> str:
        """What a reader of the tokens has of this field, so far."""
        texts = Texts()
        for event in self.tokens:
            texts.add(event)
        return texts[field]

    def _completion(self) -> Completion | None:
        if self._found is None:
            for raw in filter(self._is_ours, self._completions()):
                self._found = Completion.model_validate_json(raw.value or b"")
        return self._found

    def _is_ours(self, answer: Raw) -> bool:
        event_id = text_header(answer.headers, "ce_id") or ""
        return event_id.startswith(f"{place_of(self._record)}/")


def _dead_letter(raw: Raw) -> DeadLetter:
    def said(*names: str) -> str:
        found = (text_header(raw.headers, name) for name in names)
        return next((text for text in found if text is not None), "")

    return DeadLetter(
        kind=said("penstock-error-kind"),
        code=said("penstock-error-code"),
        message=said(*_MESSAGES),
        key=raw.key,
        value=raw.value,
        headers=raw.headers,
    )
