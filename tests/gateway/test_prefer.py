"""What the headers of a request say, however they are written."""

import pytest

from penstock.gateway.prefer import Prefer, accepts


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ([], Prefer()),
        (["wait=20"], Prefer(20)),
        (["Respond-Async, WAIT = 10"], Prefer(10, respond_async=True)),
        (["respond-async", "wait=10"], Prefer(10, respond_async=True)),
        (["wait=10, wait=20"], Prefer(10)),
        (['wait="15"; strict'], Prefer(15)),
        (['handling=lenient; why="so, wait=3", wait=4'], Prefer(4)),
        (["wait=soon"], Prefer()),
        (["wait=-1"], Prefer()),
        (["wait=99999999999999999999"], Prefer()),
        (["wait", '"', ";;,=,"], Prefer()),
    ],
)
def test_a_preference_is_read_or_ignored(headers: list[str], read: Prefer) -> None:
    assert Prefer.read(headers) == read


def test_what_was_done_of_it_is_said() -> None:
    both = Prefer(5, respond_async=True)
    assert both.applied(whole=True) == {"Preference-Applied": "wait=5"}
    assert both.applied(whole=False) == {"Preference-Applied": "respond-async, wait=5"}
    assert Prefer().applied(whole=False) == {}


@pytest.mark.parametrize(
    ("accept", "takes"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("text/*;q=0.1", True),
        ("Text/Event-Stream", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("application/json", False),
        ("text/event-stream;q=0, */*", False),
        ("text/event-stream; q=0.000", False),
        ("text/*;q=0.0, */*", False),
    ],
)
def test_a_type_is_accepted_by_the_closest_range(accept: str | None, takes: bool) -> None:
    assert accepts(accept, "text/event-stream") is takes
