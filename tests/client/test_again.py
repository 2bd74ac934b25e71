"""When a gateway is asked again."""

import asyncio

import pytest

from penstock.client import again
from penstock.client.again import BASE_SECONDS, CAP_SECONDS, TRIES, Tries, pause
from penstock.errors import GatewayError


def failed(status: int | None, retry_after: float | None = None) -> GatewayError:
    return GatewayError(status, "x", "x", retry_after)


@pytest.mark.parametrize(
    ("status", "retry_after", "known", "tried"),
    [
        (None, None, False, True),
        (500, None, False, True),
        (502, 9.0, False, True),
        (503, None, False, True),
        (404, None, True, True),
        (404, None, False, False),
        (400, None, True, False),
        (401, None, True, False),
        (413, None, True, False),
        (422, None, True, False),
        (302, None, True, False),
        (200, None, True, False),
    ],
)
def test_what_passes_is_tried_again_a_bounded_number_of_times(
    status: int | None, retry_after: float | None, known: bool, tried: bool
) -> None:
    error = failed(status, retry_after)
    assert (pause(1, error, 0.5, known=known) is not None) is tried
    assert pause(TRIES, error, 0.5, known=known) is None


def test_waits_double_up_to_a_cap_and_half_of_each_is_chance() -> None:
    waits = [pause(n, failed(None), chance, known=False) for n in (1, 2, 7) for chance in (0, 1)]
    assert waits == [
        *(BASE_SECONDS / 2, BASE_SECONDS),
        *(BASE_SECONDS, BASE_SECONDS * 2),
        *(CAP_SECONDS / 2, CAP_SECONDS),
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_told_when_comes_back_then_however_often(status: int) -> None:
    assert pause(0, failed(status, 7.0), 0, known=False) == 7.0
    assert pause(TRIES + 1, failed(status, 7.0), 1, known=False) == 7.0 + BASE_SECONDS


async def test_what_was_heard_meanwhile_makes_the_tries_whole_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(again, "BASE_SECONDS", 0.0)
    tries = Tries(None)
    for _ in range(3):
        for _ in range(TRIES - 1):
            await tries.again(failed(None))
        tries.heard()
    for _ in range(TRIES - 1):
        await tries.again(failed(None))
    with pytest.raises(GatewayError):
        await tries.again(failed(None))


async def test_nobody_waits_beyond_the_end() -> None:
    tries = Tries(asyncio.get_running_loop().time() + 60)
    with pytest.raises(GatewayError, match="x"):
        await tries.again(failed(429, 61.0))
