"""The bookmark never lies beyond a completion that nobody has acknowledged."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.bookmark import KnownEnd


def test_at_first_it_is_where_the_completions_ended() -> None:
    assert KnownEnd(40).position() == 40


def test_with_nothing_in_flight_it_is_behind_the_last_that_is_acknowledged() -> None:
    end = KnownEnd(40)
    end.sent(1)
    end.acknowledged(1, 55)
    assert end.position() == 56


def test_while_something_is_in_flight_it_is_what_was_known_when_that_was_sent() -> None:
    end = KnownEnd(40)
    end.sent(1)
    end.sent(2)
    end.acknowledged(2, 55)
    end.sent(3)
    assert end.position() == 40
    end.acknowledged(1, 41)
    assert end.position() == 56
    end.acknowledged(3, 60)
    assert end.position() == 61


def test_an_acknowledgement_that_does_not_say_where_leaves_it() -> None:
    end = KnownEnd(40)
    end.sent(1)
    end.acknowledged(1, None)
    assert end.position() == 40


def test_what_is_sent_again_may_have_landed_the_first_time() -> None:
    end = KnownEnd(40)
    end.sent(1)
    end.sent(2)
    end.acknowledged(2, 55)
    end.sent(1)
    assert end.position() == 40


def test_it_does_not_go_back_when_acknowledgements_overtake_each_other() -> None:
    end = KnownEnd(40)
    end.sent(1)
    end.sent(2)
    end.acknowledged(2, 55)
    end.acknowledged(1, 41)
    assert end.position() == 56


def test_an_acknowledgement_of_what_was_not_sent_here_counts_all_the_same() -> None:
    end = KnownEnd(40)
    end.acknowledged(9, 70)
    assert end.position() == 71


def test_what_others_have_completed_moves_it_too() -> None:
    end = KnownEnd(40)
    end.saw(50)
    end.saw(45)
    assert end.position() == 50
    end.sent(1)
    end.saw(60)
    assert end.position() == 50
    end.acknowledged(1, None)
    assert end.position() == 60


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 5),
    st.lists(
        st.tuples(
            st.sampled_from(("send", "land", "acknowledge", "silently", "other")),
            st.integers(0, 9),
        ),
        max_size=60,
    ),
)
def test_no_completion_of_ours_that_is_not_acknowledged_is_before_it(
    start: int, moves: list[tuple[str, int]]
) -> None:
    """A log beside it: what is sent lands when it likes, or never, and others write too."""
    end, log = KnownEnd(start), start
    sent = dict[int, int | None]()
    """Not acknowledged: where it landed, if it did."""
    for offset, (move, number) in enumerate(moves):
        chosen = sorted(sent)[number % len(sent)] if sent else None
        before = end.position()
        if move == "send":
            end.sent(offset)
            sent[offset] = None
        elif move == "other":
            log += number
        elif chosen is None:
            continue
        elif move == "land":
            if sent[chosen] is None:
                sent[chosen] = log
                log += 1
            else:
                end.sent(chosen)
        elif (landed := sent[chosen]) is not None:
            del sent[chosen]
            end.acknowledged(chosen, None if move == "silently" else landed)
        assert before <= end.position() <= log
        for landed in sent.values():
            assert end.position() <= (log if landed is None else landed)
