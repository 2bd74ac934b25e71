"""What an OpenAPI document cannot say, said to schemathesis."""

import os
from itertools import count
from typing import Any
from urllib.parse import unquote

import schemathesis

HARMFUL = {"all", "partition/0", "partition/1", "program/qa"}
"""Scopes in which a pause would let nothing be answered any more."""

# Several of these may run at once, in front of the same topics.
_new = (f"{os.getpid()}n{number}" for number in count())


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def _lines(_: Any, value: Any) -> bytes:
    return str(value).encode()


@schemathesis.hook("before_call")
def names_are_new(_: Any, case: Any, **__: Any) -> None:
    """An id or an Idempotency-Key is one question's, which has one of the two; and the id of an
    event is known to nobody who has not read it.
    """
    headers = case.headers if case.headers is not None else {}
    names = {name.lower(): name for name in headers}
    key, event = names.get("idempotency-key"), names.get("last-event-id")
    if event is not None and str(headers[event])[:1].isdigit():
        del headers[event]
    body = case.body
    if case.method == "POST" and isinstance(body, dict) and isinstance(body.get("id"), str):
        case.body = body | {"id": f"{body['id'][:100]}{next(_new)}"} if body["id"] else body
        if key is not None:
            del headers[key]
    elif key is not None and str(headers[key]).isalnum():
        headers[key] = f"{headers[key][:100]}{next(_new)}"


@schemathesis.hook("before_call")
def the_service_goes_on(_: Any, case: Any, **__: Any) -> None:
    """An operator may stop it."""
    scope = case.path_parameters.get("scope") if case.path_parameters else None
    if isinstance(scope, str) and unquote(scope) in HARMFUL:
        case.path_parameters["scope"] = "program/nobody"
