"""Which input fields does the command line name? `field=text`, or a bare text for `question`."""

from collections.abc import Iterable

from penstock.errors import ConfigurationError

QUESTION = "question"


def fields(texts: Iterable[str], *, bare: bool) -> dict[str, str]:
    """The inputs by field. With `bare`, what does not begin with `name=` is the question.

    Raises:
        ConfigurationError: a field is named twice, or not at all.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            if not bare:
                raise ConfigurationError(f"{text!r} is not of the form field=text")
            name, value = QUESTION, text
        if name in found:
            raise ConfigurationError(f"{name} is given twice; quote a text that has spaces")
        found[name] = value
    return found
