"""What no request gets past, over real sockets: pages of others, and what is too large."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from penstock import settings
from penstock.errors import ConfigurationError
from penstock.gateway.limits import BATCH_BYTES, ENVELOPE_BYTES, HEADER_BYTES
from penstock.gateway.tokens import digest, new_token
from tests.support.doors import doors

APP = "https://app.example.com"
LIMIT = 1024 * 1024 + ENVELOPE_BYTES


def _problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"


# --- pages ----------------------------------------------------------------------------------------


async def test_a_page_of_others_changes_nothing_and_opens_no_websocket(tmp_path: Path) -> None:
    token = new_token()
    path = tmp_path / "tokens.toml"
    path.write_text(f'[ana]\nsha256 = "{digest(token).hex()}"\n')
    bearer = {"Authorization": f"Bearer {token}"}
    given: list[dict[str, Any]] = [{}, {"tokens": path}]
    for with_tokens in given:
        async with doors(origins=APP, **with_tokens) as there:
            shown = bearer if with_tokens else {}
            port = there.address.rpartition(":")[2]
            other_port = there.address.replace(port, str(int(port) + 1))
            for origin in (
                "https://evil.example",
                "null",
                "http://app.example.com",
                other_port,
                "",
            ):
                headers = shown | {"Origin": origin}
                response = await there.client.post("/ask", json={}, headers=headers)
                if not origin:
                    assert response.is_success
                    continue
                _problem(response, 403, "foreign_origin")
                assert "access-control-allow-origin" not in response.headers
                assert (await there.client.get("/read", headers=headers)).is_success
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(
                        there.socket, origin=Origin(origin), additional_headers=shown
                    ):
                        pass
                assert refused.value.response.status_code == 403
            for origin in (APP, there.address, there.address.upper()):
                headers = shown | {"Origin": origin}
                assert (await there.client.post("/ask", json={}, headers=headers)).is_success
                async with connect(
                    there.socket, origin=Origin(origin), additional_headers=shown
                ) as socket:
                    await socket.recv()


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://penstock.example.com", "penstock.example.com", True),
        ("https://penstock.example.com", "penstock.example.com:443", True),
        ("http://penstock.example.com:80", "penstock.example.com", True),
        ("https://penstock.example.com", "penstock.example.com:80", False),
        ("http://penstock.example.com:8080", "penstock.example.com", False),
    ],
)
async def test_a_host_is_the_same_with_the_port_that_goes_without_saying(
    tmp_path: Path, origin: str, host: str, allowed: bool
) -> None:
    """Behind what ends TLS only the name is left of where the page came from."""
    token = new_token()
    (tmp_path / "tokens.toml").write_text(f'[ana]\nsha256 = "{digest(token).hex()}"\n')
    async with doors(tokens=tmp_path / "tokens.toml") as there:
        headers = {"Authorization": f"Bearer {token}", "Origin": origin, "Host": host}
        response = await there.client.post("/ask", json={}, headers=headers)
    assert response.is_success == allowed


async def test_pages_that_are_named_may_read_what_they_are_answered() -> None:
    async with doors(origins=f"{APP}, http://localhost:3000") as there:
        wanted = {
            "Origin": APP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, "
            "prefer, last-event-id, x-stainless-retry-count",
        }
        response = await there.client.options("/ask", headers=wanted)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == APP
        response = await there.client.options("/ask", headers=wanted | {"Origin": "https://evil"})
        assert response.status_code == 400
        assert "access-control-allow-origin" not in response.headers
        for answered in (
            await there.client.get("/read", headers={"Origin": APP}),
            # The page sees why it is refused.
            await there.client.post("/ask", content=b"x", headers={"Origin": APP}),
        ):
            assert answered.headers["access-control-allow-origin"] == APP
            exposed = answered.headers["access-control-expose-headers"]
            assert exposed == "Location, Content-Location, Retry-After, X-Should-Retry"
            assert answered.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answered.headers


@pytest.mark.parametrize(
    "origin", ["app.example.com", f"{APP}/", "*", "https://App.example.com", "https://a@b", ""]
)
def test_what_is_no_origin_is_a_wrong_setting(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY__ORIGINS"):
        settings.of_project(gateway={"origins": [origin]})


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:80", True),
        ("127.0.0.1", True),
        ("[::1]:8080", True),
        ("192.0.2.1:8080", True),
        ("gateway:8080", True),
        ("app.example.com", True),
        ("APP.example.com:8080", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8080", False),
        ("app.example.com.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example:x", False),
        ("[::1", False),
        ("", False),
    ],
)
async def test_a_name_that_a_page_could_have_made_up_is_not_known(host: str, known: bool) -> None:
    async with doors(origins=APP) as there:
        response = await there.client.get("/read", headers={"Host": host})
        if known:
            assert response.status_code == 200
        else:
            _problem(response, 421, "unknown_host")


async def test_where_a_token_is_wanted_any_name_will_do(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text("")
    async with doors(tokens=tmp_path / "tokens.toml") as there:
        response = await there.client.get("/read", headers={"Host": "penstock.example.com"})
        assert response.status_code == 401


async def test_every_response_says_what_a_browser_may_do_with_it() -> None:
    async with doors() as there:
        for path in ("/read", "/nothing", "/openapi.json", "/docs", "/"):
            headers = (await there.client.get(path)).headers
            policy = headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert ("cdn" in policy) == (path == "/docs")
            assert ("script-src" in policy) == (path in {"/", "/docs"})
            assert ("unsafe" in policy) == (path == "/docs")


# --- sizes ----------------------------------------------------------------------------------------


async def _pieces(size: int, sent: list[int]) -> AsyncIterator[bytes]:
    for _ in range(size // 65536 + 1):
        sent.append(65536)
        yield b" " * 65536
        await asyncio.sleep(0)


async def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    json = {"content-type": "application/json"}
    async with doors() as there:
        _problem(
            await there.client.post("/ask", content=b" " * (LIMIT + 1), headers=json),
            413,
            "too_large",
        )
        # In chunks, without a word of how many.
        sent: list[int] = []
        chunks = _pieces(8 * LIMIT, sent)
        _problem(await there.client.post("/ask", content=chunks, headers=json), 413, "too_large")
        right = b'{"a": "%s"}' % (b"x" * (LIMIT - 9))
        assert len(right) == LIMIT
        response = await there.client.post("/ask", content=right, headers=json)
        assert response.status_code == 200
        # The connection is as good as before.
        assert (await there.client.get("/read")).is_success


async def test_it_is_refused_while_its_client_still_sends() -> None:
    head = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    async with doors() as there:
        host, _, port = there.address.removeprefix("http://").rpartition(":")
        for request in (
            head + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1),
            head + b"Transfer-Encoding: chunked\r\n\r\n" + piece * (LIMIT // 65536 + 1),
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            async with asyncio.timeout(20):
                assert (await reader.readline()).split()[1] == b"413"
            writer.close()
            await writer.wait_closed()


async def test_many_questions_may_be_larger() -> None:
    lines = {"content-type": "application/x-ndjson"}
    async with doors() as there:
        post = there.client.post
        response = await post("/v1/questions:batch", content=b" " * BATCH_BYTES, headers=lines)
        assert response.text == str(BATCH_BYTES)
        for content in (b" " * (BATCH_BYTES + 1), _pieces(BATCH_BYTES, [])):
            response = await post("/v1/questions:batch", content=content, headers=lines)
            _problem(response, 413, "too_large")


async def test_headers_that_are_too_large_are_refused_however_they_arrive() -> None:
    async with doors() as there:
        host, _, port = there.address.removeprefix("http://").rpartition(":")

        async def told(*pieces: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            first = await reader.readline()
            writer.close()
            return first

        begun = b"GET /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
        whole = begun + b"x" * HEADER_BYTES + b"\r\n\r\n"
        assert (await told(whole)).split()[1] in {b"400", b"431"}
        assert (await told(begun, *[b"x" * 4096] * 8)).split()[1] == b"400"
        assert (await told(begun + b"x" * (HEADER_BYTES // 2) + b"\r\n\r\n")).split()[1] == b"200"
        response = await there.client.get("/read?" + "x" * HEADER_BYTES)
        assert response.status_code in {400, 431}


async def test_what_is_no_json_is_refused_where_json_is_wanted() -> None:
    async with doors() as there:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            for content in (b"{}", _pieces(1, [])):
                response = await there.client.post(
                    "/ask", content=content, headers={"content-type": kind} if kind else {}
                )
                _problem(response, 415, "wrong_content_type")
                assert response.headers["accept"] == "application/json"
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/a.b+json"):
            response = await there.client.post(
                "/ask", content=b"{}", headers={"content-type": kind}
            )
            assert response.is_success
        # Where there is no body, there is no type of it.
        assert (await there.client.post("/operate")).status_code == 403
        for kind in ("application/x-ndjson", "application/jsonl", "application/json-lines"):
            response = await there.client.post(
                "/v1/questions:batch", content=b"{}", headers={"content-type": kind}
            )
            assert response.text == "2"
