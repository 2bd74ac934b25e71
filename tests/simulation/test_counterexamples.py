"""What broke the obvious versions of the delivery protocol, by number and name.

Those that need a run to be handed over have no test, for nothing is handed over.
"""

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.failure import Failure, Kind
from penstock.core.offset_map import DoneBeyond, encode
from tests.simulation.scene import Actor, Scene

POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")


def two_begun() -> tuple[Scene, Actor]:
    """By the first member, at 10."""
    scene = Scene(questions=2)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, 0, 1) == [0, 1]
    return scene, first


def test_4_revoked_while_recovering_an_empty_ledger_committed() -> None:
    scene = Scene(questions=3)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, 0, 1, 2) == [0, 1, 2]
    first.answers(11, 2)
    first.commits(first.hears(12, 2, first.lands(11, 2)))
    before = dict(scene.log.commits)

    second = scene.enters()
    second.arrives(20)
    assert second.leaves(21) == facts.Release(frozenset({0}), heads={})
    assert scene.log.commits == before

    third = scene.enters()
    third.opens(30)
    assert third.fetches(30, 0, 1, 2) == [0, 1]


def test_6_a_bookmark_beyond_a_landed_unacknowledged_completion() -> None:
    scene, first = two_begun()
    first.answers(11, 0)
    first.lands(12, 0)
    first.answers(13, 1)
    commit = first.hears(14, 1, first.lands(13, 1))
    assert commit.heads[0].done == encode(DoneBeyond(0, ((1, 2),)))
    assert commit.heads[0].bookmark == Bookmark(0, 1), "where the one nobody has heard of may be"
    first.commits(commit)

    second = scene.enters()
    second.opens(20)
    assert second.fetches(20, 0, 1) == []


def test_6_sent_again_its_first_time_counts() -> None:
    scene, first = two_begun()
    first.answers(11, 0)
    first.lands(12, 0)
    first(13, facts.PublishFailed(first.record(0)))
    first.answers(14, 1)
    commit = first.hears(15, 1, first.lands(14, 1))
    first(16, facts.Committed())
    assert facts.PublishCompletion(first.record(0)) in first(23)
    commit = next(c for c in first(3_000) if isinstance(c, facts.Commit))
    assert commit.heads[0].bookmark == Bookmark(0, 1)
    first.commits(commit)

    second = scene.enters()
    second.opens(3_010)
    assert second.fetches(3_010, 0, 1) == []


def test_6_an_acknowledgement_without_a_position_leaves_the_bookmark_where_it_is() -> None:
    _, first = two_begun()
    first.answers(11, 0)
    first.lands(11, 0)
    assert first.hears(12, 0, None).heads[0].bookmark == Bookmark(0, 1)


def test_7_crash_before_the_first_commit() -> None:
    scene = Scene(questions=2)
    first = scene.enters()
    first.arrives(10)
    assert first(11) == [], "nothing is resumed before the opening commit is in the group"
    assert facts.Resume(frozenset({0})) not in first(12, facts.CommitFailed())
    assert scene.log.commits == {}

    second = scene.enters()
    second.opens(20)
    assert second.fetches(20, 0, 1) == [0, 1]


def test_7_completions_of_a_group_without_a_commit_count_from_their_start() -> None:
    scene, first = two_begun()
    first.answers(11, 1)
    first.lands(12, 1)
    scene.log.commits.clear()

    second = scene.enters()
    second.opens(20)
    assert second.fetches(20, 0, 1) == [0]


def test_13_a_late_periodic_commit_overwrites_the_final_one() -> None:
    scene, first = two_begun()
    first.answers(11, 0)
    late = first.hears(12, 0, first.lands(11, 0))
    first.answers(13, 1)
    answered = first(14, facts.Published(first.record(1), first.lands(13, 1)))
    assert not any(isinstance(one, facts.Commit) for one in answered), "one is on its way"
    first.commits(first.leaves(15))
    assert scene.said().clean

    # Whoever does not wait for the answer to the one sees this; nothing is lost by it but time.
    first.commits(late)
    assert not scene.said().clean
    second = scene.enters()
    second.opens(20)
    assert second.fetches(20, 1) == []


def test_the_end_of_a_stream_without_a_run_is_not_left_out_of_the_last_commit() -> None:
    scene = Scene(questions=1)
    first = scene.enters()
    first.opens(10)
    poison = facts.Fetched(first.record(0), None, 1_000, failure=POISON)
    first(10, poison)
    first(11, facts.PublishFailed(first.record(0)))
    assert not first.leaves(12).heads[0].clean
