"""Who is let in, over real sockets: by a token of the file, or where none is wanted."""

import base64
from pathlib import Path
from typing import Any

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.gateway.access import BEARER, Access
from penstock.gateway.tokens import digest, new_token
from penstock.settings import GatewaySettings
from tests.support.doors import Doors, doors

ANA = new_token()
NOBODY = {"subject": "", "programs": None, "operator": False}


def _file(folder: Path, more: str = "", token: str = ANA) -> Path:
    path = folder / "tokens.toml"
    path.write_text(f'[ana]\nsha256 = "{digest(token).hex()}"\n{more}\n')
    return path


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _offered(token: str, *others: str) -> list[Subprotocol]:
    hidden = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return [Subprotocol(name) for name in (*others, BEARER + hidden)]


class _Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.clock = Clock(lambda: self.now, lambda: self.now)


async def test_a_token_of_the_file_is_who_it_says(tmp_path: Path) -> None:
    path = _file(tmp_path, 'programs = ["qa"]\noperator = true')
    async with doors(tokens=path) as there:
        for said in (f"Bearer {ANA}", f"bearer  {ANA}"):
            response = await there.client.get("/read", headers={"Authorization": said})
            assert response.json() == {"subject": "ana", "programs": ["qa"], "operator": True}
        assert (await there.client.post("/operate", headers=_bearer(ANA))).status_code == 200


async def test_who_shows_none_is_told_to(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path)) as there:
        for headers in ({}, {"Authorization": f"Basic {ANA}"}, {"Authorization": "Bearer"}):
            response = await there.client.get("/read", headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] == "no_token"


async def test_who_shows_another_is_told_so_and_nothing_of_it_stands_anywhere(
    tmp_path: Path,
) -> None:
    path = _file(tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with doors(tokens=path) as there:
            for token in (
                new_token(),
                ANA[:-1],
                ANA + "x",
                ANA.upper(),
                "a.b.c",
                "\xe4",
                "x" * 9000,
            ):
                headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
                response = await there.client.get("/read", headers=headers)
                assert response.status_code == 401
                challenge = response.headers["www-authenticate"]
                assert challenge.startswith('Bearer error="invalid_token", error_description="')
                assert response.json()["code"] == "invalid_token"
                assert token not in response.text + challenge
                assert token not in str(logs)


async def test_who_is_no_operator_does_not_operate(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path)) as there:
        response = await there.client.post("/operate", headers=_bearer(ANA))
        assert response.status_code == 403
        assert response.json()["code"] == "operators_only"
        assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Access_Token", "t%6Fken"])
async def test_a_token_in_a_url_is_refused_even_where_none_is_wanted(
    tmp_path: Path, name: str
) -> None:
    cases: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({}, {}),
        ({"tokens": _file(tmp_path)}, _bearer(ANA)),
    ]
    for settings, headers in cases:
        async with doors(**settings) as there:
            response = await there.client.get(f"/read?a=1&{name}={ANA}", headers=headers)
            assert response.status_code == 400
            assert response.json()["code"] == "token_in_url"
            assert ANA not in response.text
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"{there.socket}?{name}={ANA}"):
                    pass
            assert refused.value.response.status_code == 400
            assert (await there.client.get("/read?q=token", headers=headers)).is_success


# --- WebSocket ------------------------------------------------------------------------------------


async def test_a_websocket_shows_it_in_its_header_or_as_a_subprotocol(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path)) as there:
        async with connect(there.socket, additional_headers=_bearer(ANA)) as socket:
            assert '"ana"' in str(await socket.recv())
            assert socket.subprotocol is None
        both = _offered(ANA, "penstock.v1.json")
        async with connect(there.socket, subprotocols=both) as socket:
            assert '"ana"' in str(await socket.recv())
            assert socket.subprotocol == "penstock.v1.json"
        async with connect(there.socket, subprotocols=[both[1], both[0]]) as socket:
            assert socket.subprotocol == "penstock.v1.json"
        async with connect(there.socket, subprotocols=_offered(ANA)) as socket:
            assert '"ana"' in str(await socket.recv())
            # It is a secret, and no language that is spoken.
            assert socket.subprotocol is None
            assert BEARER not in str(socket.response)


async def test_a_websocket_without_one_is_refused_before_it_is_one(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path)) as there:
        no_text = [Subprotocol(BEARER + "_-8"), Subprotocol(BEARER + "a"), Subprotocol(BEARER)]
        for offered in (None, _offered(new_token(), "penstock.v1.json"), *([p] for p in no_text)):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(there.socket, subprotocols=offered):
                    pass
            response = refused.value.response
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.headers["content-type"] == "application/problem+json"


async def test_a_token_that_is_withdrawn_asks_nothing_more_on_an_open_websocket(
    tmp_path: Path,
) -> None:
    hand, path = _Hand(), _file(tmp_path)
    async with doors(hand.clock, tokens=path) as there:
        async with connect(there.socket, additional_headers=_bearer(ANA)) as socket:
            await socket.recv()
            await socket.send("Why?")
            assert await socket.recv() == "asked"
            _file(tmp_path, token=new_token())
            hand.now += 60
            await socket.send("Why?")
            await socket.wait_closed()
        response = await there.client.get("/read", headers=_bearer(ANA))
        assert response.status_code == 401


# --- rates ----------------------------------------------------------------------------------------


async def test_who_asks_too_often_is_told_when_he_may_again(tmp_path: Path) -> None:
    hand = _Hand()
    path = _file(tmp_path, "requests_per_minute = 3")
    async with doors(hand.clock, tokens=path, requests_per_minute=1) as there:
        headers = _bearer(ANA)
        for _ in range(3):
            assert (await there.client.post("/ask", json={}, headers=headers)).is_success
        response = await there.client.post("/ask", json={}, headers=headers)
        assert response.status_code == 429
        assert response.headers["retry-after"] == "20"
        assert response.json()["code"] == "rate_limit"
        # Reading costs nothing.
        assert (await there.client.get("/read", headers=headers)).is_success
        hand.now += 20
        assert (await there.client.post("/ask", json={}, headers=headers)).is_success


async def test_a_token_that_says_nothing_has_everybodys_rate(tmp_path: Path) -> None:
    hand = _Hand()
    async with doors(hand.clock, tokens=_file(tmp_path), requests_per_minute=1) as there:
        said = [
            (await there.client.post("/ask", json={}, headers=_bearer(ANA))).status_code
            for _ in range(2)
        ]
    assert said == [200, 429]


# --- where no tokens are set ----------------------------------------------------------------------


async def test_everybody_may_ask_on_this_machine_and_the_operator_shows_his_token() -> None:
    async with doors() as there:
        assert there.access.operator_token is not None
        assert (await there.client.post("/ask", json={})).json() == NOBODY
        # What OpenAI's client has to be given.
        response = await there.client.get("/read", headers=_bearer("sk-none"))
        assert response.json() == NOBODY
        assert (await there.client.post("/operate")).status_code == 403
        # Of the last start.
        response = await there.client.post("/operate", headers=_bearer(new_token()))
        assert response.status_code == 401
        response = await there.client.post("/operate", headers=_bearer(there.access.operator_token))
        assert response.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example.com"])
def test_it_does_not_listen_to_others_without_tokens(host: str, tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(ConfigurationError, match=r"GATEWAY__TOKENS.*GATEWAY__OPEN"):
        Access(GatewaySettings(host=host), clock)
    meant = Access(GatewaySettings(host=host, open=True), clock)
    assert meant.open
    assert meant.operator_token
    closed = Access(GatewaySettings(host=host, tokens=_file(tmp_path)), clock)
    assert not closed.open
    assert closed.operator_token is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_it_does(host: str) -> None:
    assert Access(GatewaySettings(host=host), Clock()).open


async def test_open_to_all_with_tokens_for_operators(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path, "operator = true"), open=True) as there:
        assert there.access.operator_token is None
        assert (await there.client.post("/ask", json={})).json() == NOBODY
        assert (await there.client.post("/operate", headers=_bearer(ANA))).status_code == 200
        response = await there.client.post("/ask", json={}, headers=_bearer(new_token()))
        assert response.status_code == 401


# --- what is said of it ---------------------------------------------------------------------------


async def _document(there: Doors) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    return dict((await there.client.get("/openapi.json")).json())


async def test_the_document_says_where_a_token_is_wanted(tmp_path: Path) -> None:
    async with doors(tokens=_file(tmp_path)) as there:
        document = await _document(there)
    scheme = document["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/read"]["get"]["security"] == [{"token": []}]
    assert document["paths"]["/predict"]["post"]["security"] == [{"token": []}]
    open_to_all = {
        path
        for path, methods in document["paths"].items()
        if not all("security" in operation for operation in methods.values())
    }
    assert open_to_all == {"/fail", "/livez", "/readyz"}
    async with doors() as there:
        document = await _document(there)
    assert "security" not in document["paths"]["/read"]["get"]
    # Who operates shows one all the same.
    assert "token" in document["components"]["securitySchemes"]
    assert document["paths"]["/operate"]["post"]["security"] == [{"token": ["operator"]}]
