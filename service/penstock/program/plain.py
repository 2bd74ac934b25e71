"""For small models that cannot follow a format: the question goes in bare, the answer comes out."""

import textwrap
from typing import Any

from dspy.adapters.base import Adapter
from dspy.adapters.utils import format_field_value
from dspy.utils.exceptions import AdapterParseError

from penstock.errors import ConfigurationError

_REMEDY = "set ADAPTER of its model to chat or json"


def only_text_output(signature: Any) -> str:
    """The name of the signature's one output field.

    Raises:
        ConfigurationError: there are several outputs, as with `dspy.ChainOfThought`, or the one is
            not text. Without a format nothing tells where one ends and the next begins.
    """
    outputs = signature.output_fields
    if len(outputs) != 1:
        raise ConfigurationError(
            f"the plain adapter asks for one output field and the signature "
            f"{signature.signature!r} has {len(outputs)}: {_REMEDY}"
        )
    [(name, field)] = outputs.items()
    if field.annotation is not str:
        raise ConfigurationError(
            f"the plain adapter gives text and the output field {name!r} of the signature "
            f"{signature.signature!r} is not a str: {_REMEDY}"
        )
    return str(name)


class PlainAdapter(Adapter):  # type: ignore[misc] # DSPy has no types
    """Instructions as the system message, inputs as the user's, the answer as it is."""

    def format_system_message(self, signature: Any) -> str:
        # Every format begins here, so a signature that cannot work fails before it is paid for.
        only_text_output(signature)
        return textwrap.dedent(signature.instructions)

    def format_user_message_content(
        self,
        signature: Any,
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,  # noqa: ARG002 - there is no format to remind of
    ) -> str:
        values = {
            name: format_field_value(field_info=field, value=inputs[name])
            for name, field in signature.input_fields.items()
            if name in inputs
        }
        if len(signature.input_fields) == 1:
            body = "".join(values.values())
        else:
            body = "\n".join(f"{name}: {value}" for name, value in values.items())
        return f"{prefix}\n\n{body}\n\n{suffix}".strip()

    def format_assistant_message_content(
        self,
        signature: Any,
        outputs: dict[str, Any],
        missing_field_message: str | None = None,
    ) -> str:
        value = outputs.get(only_text_output(signature))
        return str(missing_field_message or "") if value is None else str(value)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        answer = completion.strip()
        if not answer:
            raise AdapterParseError(
                adapter_name=type(self).__name__,
                signature=signature,
                lm_response=completion,
                message="The model said nothing.",
            )
        return {only_text_output(signature): answer}
