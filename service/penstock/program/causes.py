"""What stands behind an exception?"""

from collections.abc import Iterator


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception itself, the members of a group, and whatever they were raised `from`.

    What was merely being handled when it was raised (`__context__`) is not among them.
    """
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        if one.__cause__ is not None:
            waiting.append(one.__cause__)
