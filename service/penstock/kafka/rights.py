"""Which rights does who need, and which does he lack? The brokers say what their ACLs allow."""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Literal

from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.errors import KafkaError as ClientError

from penstock.finding import Finding, Level

Role = Literal["questions", "tokens", "completions", "dead_letters", "control"]
"""Of a topic, as in the settings TOPICS."""


Kind = Literal["topic", "group", "transactional-id"]


class Operation(IntEnum):
    """By the number that Kafka's protocol gives it (AclOperation)."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11

    @property
    def word(self) -> str:
        """As `kafka-acls` has it."""
        return "".join(part.capitalize() for part in self.name.split("_"))


Allowed = frozenset[Operation] | None
"""None: the broker does not say, as those before 2.3 do not."""

# Whoever lets us see a topic or a group lets us do that much with it: who says that we may do
# nothing is no broker of Apache's, and means that he does not know.
_NOT_TOLD = {-(2**31), 0}

READ, WRITE = Operation.READ, Operation.WRITE

SERVICE: Mapping[Role, tuple[Operation, ...]] = {
    "questions": (READ,),
    # It reads what it has said: after a crash, and where nobody has acknowledged it.
    "tokens": (READ, WRITE),
    "completions": (READ, WRITE),
    "dead_letters": (READ, WRITE),
    # It reports on itself.
    "control": (READ, WRITE),
}
"""Of the service. Each of them lets it describe the topic, too."""

MEMBER = (READ,)
"""Of the service, on its group: to join, to commit and to look at it."""

GATEWAY: Mapping[Role, tuple[Operation, ...]] = {
    "questions": (READ, WRITE),
    "tokens": (READ,),
    "completions": (READ,),
    # It reads how the members are, and writes cancellations and pauses.
    "control": (READ, WRITE),
}
"""Of a gateway."""

ONLOOKER = (Operation.DESCRIBE,)
"""Of a gateway, on the group: to see how far it is."""


def allowed(bits: int) -> Allowed:
    """`bits`: one for each operation, at its number."""
    if bits in _NOT_TOLD:
        return None
    return frozenset(operation for operation in Operation if bits >> operation & 1)


def lacking(
    kind: Kind, name: str, wanted: Iterable[Operation], has: Allowed, user: str | None
) -> Iterator[Finding]:
    """One finding that names all that lack, if something does. `user`: as whom we are known."""
    lacks = [operation for operation in wanted if has is not None and operation not in has]
    if lacks:
        yield missing(kind, [name], lacks, user)


def missing(
    kind: Kind, names: list[str], lacks: list[Operation], user: str | None = None
) -> Finding:
    """What is said of rights that somebody has not."""
    words = [operation.word for operation in lacks]
    them = [*(f"--operation {word}" for word in words), *(f"--{kind} {name}" for name in names)]
    whom = "..." if user is None else user
    return Finding(
        Level.WRONG,
        f"{kind}{'s' * (len(names) > 1)} {', '.join(map(repr, names))}",
        f"lack{'s' * (len(names) == 1)} the right{'s' * (len(words) > 1)} {' and '.join(words)}",
        f"grant: kafka-acls.sh --add --allow-principal User:{whom} {' '.join(them)}",
    )


_NO_COORDINATOR = "Unable to get coordinator id for "


def unreadable(error: ClientError, topic: str) -> str:
    """What a client means that is refused while it reads this topic, if it names no other."""
    if isinstance(error, GroupAuthorizationFailedError):
        # The consumer gives its name; the admin client a sentence that ends with it.
        group = str(error.args[0]).removeprefix(_NO_COORDINATOR) if error.args else "?"
        return str(missing("group", [group], [READ]))
    named = error.args[0] if error.args else topic
    names = [named] if isinstance(named, str) else sorted(named)
    return str(missing("topic", names, [READ]))
