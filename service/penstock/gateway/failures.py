"""What is somebody told whose request fails, whatever it is that fails? A problem, always."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.routing import Match

from penstock.events.text import whole_characters
from penstock.gateway.problem import MEDIA_TYPE, Problem, ProblemError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

NOBODY = 499
"""Says nginx in its log, where a client has closed the connection."""


def told_as_problems(app: FastAPI) -> None:
    """Whatever goes wrong in one of its routes, or in finding one."""
    for failure, answer in _ANSWERS.items():
        app.add_exception_handler(failure, answer)
    undocumented = app.openapi

    def documented() -> dict[str, Any]:
        """FastAPI knows no model of another media type than the answer's own."""
        document = undocumented()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**described.pop("$defs"), "Problem": described}
        return document

    app.openapi = documented  # type: ignore[method-assign] # as FastAPI's manual has it


def response(problem: ProblemError) -> JSONResponse:
    """What a client is sent. It may quote text that cannot be sent as it is."""
    return JSONResponse(
        whole_characters(problem.document),
        problem.status,
        problem.headers,
        media_type=MEDIA_TYPE,
    )


def unforeseen() -> ProblemError:
    """What nobody has thought of: 500, and no more is told."""
    return ProblemError(500, "internal_error", "this should not happen; the gateway's log has it")


def invalid(errors: Sequence[Mapping[str, Any]], body: Any) -> ProblemError:
    """By what pydantic says of a body that is JSON: 422.

    Args:
        errors: their `loc` begins in the body.
        body: in which they are.
    """
    wrong = [
        {"pointer": _pointer(error["loc"], body, error["type"]), "detail": _what(error)}
        for error in errors
    ]
    return _wrong(422, "invalid_body", wrong, "pointer")


# --- one for each kind of failure -----------------------------------------------------------------


async def _problem(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return response(error)


async def _invalid(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return response(_what_is_wrong(error.errors(), error.body))


async def _refused(connection: HTTPConnection, error: Exception) -> Response:
    """By Starlette or FastAPI themselves."""
    assert isinstance(error, HTTPException)
    code, detail = _REFUSED.get(error.status_code, ("refused", str(error.detail)))
    if error.status_code == 404 and connection.app.openapi_url is not None:  # noqa: PLR2004
        detail += f"; {connection.app.openapi_url} says what is, and where"
    headers = dict(error.headers or {})
    if error.status_code == 405:  # noqa: PLR2004
        headers["Allow"] = ", ".join(_methods(connection))
    return response(ProblemError(error.status_code, code, detail, headers=headers))


async def _left(_: HTTPConnection, __: Exception) -> Response:
    return Response(status_code=NOBODY)


async def _unforeseen(_: HTTPConnection, __: Exception) -> Response:
    """Starlette raises it again, and uvicorn logs it."""
    return response(unforeseen())


_ANSWERS = {
    ProblemError: _problem,
    RequestValidationError: _invalid,
    HTTPException: _refused,
    ClientDisconnect: _left,
    Exception: _unforeseen,
}

_REFUSED = {
    400: ("not_json", "the body cannot be read as JSON"),
    404: ("no_such_path", "nothing is served here"),
    405: ("no_such_method", "this path has no such method; see Allow"),
}


def _what_is_wrong(errors: Sequence[Mapping[str, Any]], body: Any) -> ProblemError:
    # What may be missing is wrong in two ways, as pydantic has it, and one of them is to be there.
    elsewhere = [e for e in errors if e["loc"][0] != "body" and e["type"] != "none_required"]
    if elsewhere:
        wrong = [{"parameter": str(error["loc"][1]), "detail": _what(error)} for error in elsewhere]
        return _wrong(400, "invalid_parameter", wrong, "parameter")
    first = errors[0]
    if first["type"] == "json_invalid":
        where, what = first["loc"][1], first["ctx"]["error"]
        return ProblemError(400, "not_json", f"the body is not JSON: {what}, at character {where}")
    if isinstance(body, bytes):
        return wrong_type("application/json")
    return invalid([{**error, "loc": error["loc"][1:]} for error in errors], body)


def wrong_type(*types: str) -> ProblemError:
    """The body is of none of these."""
    accept = ", ".join(types)
    return ProblemError(
        415,
        "wrong_content_type",
        f"the content-type has to be {accept}",
        headers={"Accept": accept},
    )


def _wrong(status: int, code: str, wrong: list[dict[str, str]], where: str) -> ProblemError:
    first = wrong[0]
    more = f"; {len(wrong) - 1} more in `errors`" if len(wrong) > 1 else ""
    place = "" if first[where] == "#" else f"{first[where]}: "
    return ProblemError(status, code, f"{place}{first['detail']}{more}", errors=wrong)


def _what(error: Mapping[str, Any]) -> str:
    if error["type"] == "model_attributes_type":
        return "this has to be a JSON object"
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(loc: Sequence[str | int], body: Any, kind: str) -> str:
    """As RFC 9457 writes it: a fragment. In pydantic's place there are names of types, too, which
    are nowhere in the body.
    """
    path = ["#"]
    for part in loc:
        try:
            body = body[part]
        except (IndexError, KeyError, TypeError):
            if not (kind == "missing" and part == loc[-1]):
                continue
        path.append(quote(str(part).replace("~", "~0").replace("/", "~1"), errors="replace"))
    return "/".join(path)


def _methods(connection: HTTPConnection) -> list[str]:
    """That this path has."""
    return [
        method
        for method in METHODS
        if any(
            route.matches({**connection.scope, "method": method})[0] is Match.FULL
            for route in connection.app.routes
        )
    ]
