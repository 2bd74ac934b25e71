"""Frames out of bytes, however they are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.client.event_stream import Frame, Frames

STREAM = (
    b"retry: 1000\n: nothing new\n\n"
    b'id: 0-17-0\nevent: token\ndata: {"a":1}\n\n'
    b"id: 0-18-1\r\nevent:token\r\ndata:two\r\ndata: lines\r\n\r\n"
    b"data: of nobody\nunknown: field\nlonely\n\n"
    b"event: empty\n\n"
    b"event: problem\ndata: {}\n\n"
    b"id: 0-19-2\nevent: token\ndata: cut o"
)
WHOLE = [
    Frame("token", b'{"a":1}', "0-17-0"),
    Frame("token", b"two\nlines", "0-18-1"),
    Frame("message", b"of nobody", "0-18-1"),
    Frame("problem", b"{}", "0-18-1"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    frames = Frames()
    found = [frame for begin, end in pairwise(places) for frame in frames.feed(STREAM[begin:end])]
    assert found == WHOLE
