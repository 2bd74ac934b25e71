"""Every exception Penstock raises.

PenstockError
├── ConfigurationError    the operator wrote something that cannot work: exit code 2 at the start
├── RecordError           these bytes are not a question: dead letter, the service goes on
├── VerdictError          what a program decides about its question, for programs to raise
│   ├── Reject            it can never be answered: dead letter at once
│   └── RetryLater        not now: it is tried again, no sooner than the program says
├── UnansweredError       in a test: the question has not ended, or never will
├── NotAwaitedError       a program asks a model on the event loop without `await`
├── GatewayError          a gateway refused it, or did not answer
└── KafkaError
    ├── FencedError       another process is the same static member: an operator is needed
    ├── CommitError       the offsets were not committed; they will be tried again
    │   └── LostPartitionsError  the group gave the partitions to others: nothing is wrong
    └── PublishError      a record was not acknowledged
        ├── UnknownOutcomeError  it may have arrived all the same
        └── TooLargeError the topic does not take a record of this size; trying again is useless

What else a program or a model raises is theirs; `penstock.program.classify` makes it a failure.
"""

import math


class PenstockError(Exception):
    """The root: catch it to catch everything below."""


class ConfigurationError(PenstockError):
    """A setting, topic, program or model is wrong. The message says what to do, on one line."""


class RecordError(PenstockError):
    """A record that can never be answered.

    Args:
        code: a stable word for machines, such as `not_json`.
        message: one sentence for the person who wrote the record.
        question_id: the question's id, where one could be read.
    """

    def __init__(self, code: str, message: str, question_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.question_id = question_id


class VerdictError(PenstockError):
    """A program's own decision. Out of a tool, too, it ends the question."""


class Reject(VerdictError):  # noqa: N818 - `raise Reject("no such customer")` reads well
    """This question can never be answered. The message is meant for people: it stands in the
    completion and in the dead letter.
    """


class RetryLater(VerdictError):  # noqa: N818 - as above
    """This question cannot be answered now.

    Args:
        message: for people; it stands in the completion and in the dead letter in the end.
        after_s: seconds before which it is not tried again, 0 or more.

    Raises:
        ValueError: `after_s` is negative, or no number.
    """

    def __init__(self, message: str = "", *, after_s: float) -> None:
        if not 0 <= after_s < math.inf:
            raise ValueError(f"after_s is a number of seconds from now, not {after_s}")
        super().__init__(message)
        self.retry_after = float(after_s)


class UnansweredError(PenstockError):
    """In a test, a question has no completion. The message says why.

    Args:
        message: for people.
        code: what has stopped the service, such as `model_auth`; None: nothing has.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class NotAwaitedError(PenstockError):
    """Waiting for the loop on the loop would last for ever. The message says what to write."""


class GatewayError(PenstockError):
    """What a gateway says to whoever asks over HTTP: the problem details of RFC 9457.

    Args:
        status: of HTTP; None where there is none: nobody answered, what was answered broke off,
            or it came over a WebSocket.
        code: a stable word for machines, such as `backlog`.
        detail: one sentence for people, with what to do.
        retry_after: seconds after which it may be tried again, where that was said.
    """

    def __init__(
        self, status: int | None, code: str, detail: str, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class KafkaError(PenstockError):
    """Kafka refused or lost something."""


class FencedError(KafkaError):
    """Another process has our `group.instance.id`, and the group listens to that one (KIP-345)."""


class CommitError(KafkaError):
    """A commit failed, or nobody knows whether it did."""


class LostPartitionsError(CommitError):
    """The group's generation is over; who has the partitions now commits for them."""


class PublishError(KafkaError):
    """A record was refused."""


class UnknownOutcomeError(PublishError):
    """The client gave a record up; only its topic knows whether it has arrived."""


class TooLargeError(PublishError):
    """The record is larger than its topic's `max.message.bytes`."""
