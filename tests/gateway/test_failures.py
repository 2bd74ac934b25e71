"""Whatever fails in a route, its client is told a problem that says what, and where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import ClientDisconnect

from penstock.gateway.failures import told_as_problems
from penstock.gateway.problem import MEDIA_TYPE, OTHERWISE, ProblemError, problems


class Body(BaseModel):
    number: int
    names: dict[str, list[int]] = {}
    either: int | str = 0


def application() -> FastAPI:
    app = FastAPI(responses=OTHERWISE)
    told_as_problems(app)

    @app.post("/body", responses=problems(429))
    async def _(body: Body) -> int:
        return body.number

    @app.get("/page")
    @app.put("/page")
    async def _(
        size: Annotated[int, Query(ge=1)] = 1, since: int | SkipJsonSchema[None] = None
    ) -> int:
        return size + (since or 0)

    @app.get("/things/{name}")
    async def _(name: str) -> str:
        if name == "gone":
            raise ClientDisconnect
        if name == "secret":
            raise RuntimeError("the password is swordfish")
        raise ProblemError(429, "busy", f"{name} \ud800", headers={"Retry-After": "7"}, more=[1])

    @app.delete("/things/{name}")
    async def _(name: str) -> str:
        return name

    return app


@asynccontextmanager
async def asking() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def told(method: str, path: str, **more: Any) -> tuple[httpx.Response, dict[str, Any]]:
    async with asking() as client:
        response = await client.request(method, path, **more)
    assert response.headers["content-type"] == MEDIA_TYPE
    document = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "detail", "code"} <= document.keys()
    return response, document


async def test_all_that_is_wrong_with_a_body_is_said_with_its_place() -> None:
    body = {"names": {"a/b ~": [1, "two"]}, "either": None}
    response, document = await told("POST", "/body", json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in document["errors"]] == [
        "#/number",
        "#/names/a~1b%20~0/1",
        "#/either",
        "#/either",
    ]
    assert document["detail"] == "#/number: Field required; 3 more in `errors`"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"number": ', "application/json", 400, "not_json"),
        (b"\xff\xfe\xfd", "application/json", 400, "not_json"),
        (b"[" * 100_000, "application/json", 400, "not_json"),
        (b'{"number": 1}', "text/plain", 415, "wrong_content_type"),
        (b'{"number": 1}', "application/x-www-form-urlencoded", 415, "wrong_content_type"),
        (b"[]", "application/json", 422, "invalid_body"),
        (b'{"number": "\\ud800"}', "application/json", 422, "invalid_body"),
        (b'{"number": 1, "names": {"\\ud800": 1}}', "application/json", 422, "invalid_body"),
        (b'{"number": NaN}', "application/json", 422, "invalid_body"),
        (b"", "application/json", 422, "invalid_body"),
    ],
)
async def test_what_cannot_be_read_is_its_senders_mistake(
    content: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {"content-type": content_type}
    response, document = await told("POST", "/body", content=content, headers=headers)
    assert (response.status_code, document["code"]) == (status, code)


async def test_a_body_that_is_no_object_is_told_so() -> None:
    _, document = await told("POST", "/body", json="Why?")
    assert document["detail"] == "this has to be a JSON object"


async def test_what_may_be_missing_is_wrong_in_one_way() -> None:
    response, document = await told("GET", "/page?since=none")
    assert response.status_code == 400
    assert [error["parameter"] for error in document["errors"]] == ["since"]


async def test_a_wrong_parameter_is_named() -> None:
    response, document = await told("GET", "/page?size=none")
    assert response.status_code == 400
    assert document["errors"][0]["parameter"] == "size"


async def test_a_path_that_is_none_names_the_document_where_that_is_served() -> None:
    _, document = await told("GET", "/nowhere")
    assert "/openapi.json" in document["detail"]
    closed = FastAPI(openapi_url=None)
    told_as_problems(closed)
    transport = httpx.ASGITransport(closed)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        document = (await client.get("/nowhere")).json()
    assert document["detail"] == "nothing is served here"


async def test_a_path_says_which_methods_it_has() -> None:
    response, _ = await told("PATCH", "/things/x")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, DELETE"
    response, document = await told("GET", "/nothing")
    assert (response.status_code, document["code"]) == (404, "no_such_path")


async def test_a_problem_has_its_headers_and_members() -> None:
    response, document = await told("GET", "/things/x")
    assert (response.headers["retry-after"], document["more"]) == ("7", [1])
    assert document["detail"] == "x �"


async def test_what_nobody_foresaw_is_not_told() -> None:
    response, document = await told("GET", "/things/secret")
    assert response.status_code == 500
    assert "swordfish" not in str(document)


async def test_nobody_is_told_anything_who_has_gone() -> None:
    async with asking() as client:
        response = await client.get("/things/gone")
    assert (response.status_code, response.content) == (499, b"")


def test_the_description_knows_no_error_but_problems() -> None:
    document = application().openapi()
    schemas = document["components"]["schemas"]
    assert {"Problem", "Wrong"} <= schemas.keys()
    assert not any("ValidationError" in name for name in schemas)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert set(operation["responses"]) - {"200", "429"} == {"default"}
            problem = operation["responses"]["default"]["content"][MEDIA_TYPE]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
    assert "Retry-After" in document["paths"]["/body"]["post"]["responses"]["429"]["headers"]
