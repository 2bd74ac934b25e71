"""From where does a stream go on that was cut off?"""

from penstock.kafka.token_tail import UNKNOWN, Said, TokenTail


def test_the_last_event_about_a_question_counts() -> None:
    tail = TokenTail(below=10)
    for question_id, sequence, attempt in (("a", 0, 1), ("b", 0, 1), ("a", 1, 1), ("a", 2, 2)):
        tail.saw(question_id, sequence, attempt)
    assert tail.before(3, "a") == Said(2, 2)
    assert tail.before(4, "b") == Said(0, 1)


def test_a_stream_that_began_again_is_no_further_than_that() -> None:
    """After a rerun that did not know how far its predecessor had come."""
    tail = TokenTail(below=10)
    for sequence, attempt in ((7, 1), (0, 1), (1, 1)):
        tail.saw("a", sequence, attempt)
    assert tail.before(3, "a") == Said(1, 1)


def test_of_which_nothing_was_said_begins() -> None:
    assert TokenTail(below=10).before(3, "a") is None


def test_where_not_everything_was_read_something_may_have_been_said() -> None:
    tail = TokenTail(below=10)
    tail.saw("a", 4, 1)
    tail.read_from = 5
    assert tail.before(3, "a") == Said(4, 1)
    assert tail.before(4, "b") == UNKNOWN
    assert UNKNOWN.sequence + 1 == 0


def test_what_came_into_the_log_after_the_assignment_was_never_started_before() -> None:
    """The same id may stand there all the same: somebody asked it before."""
    tail = TokenTail(below=10)
    tail.saw("a", 4, 1)
    tail.read_from = 5
    assert tail.before(9, "a") == Said(4, 1)
    assert tail.before(10, "a") is None
    assert tail.before(11, "b") is None


def test_where_no_run_was_cut_off_every_stream_begins() -> None:
    tail = TokenTail()
    tail.saw("a", 4, 1)
    assert tail.before(0, "a") is None
