"""What broke the obvious versions of the delivery protocol, by number and name; then what broke
later ones.

Two depend on what a broker does, and are told on a real one: 12, a commit with the wrong
generation, in tests/kafka/test_recovery_source.py, and 18, the takeover of a static member, in
tests/integration/test_static_members.py; both are called `test_counterexample_..`.
"""

from dataclasses import replace

from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.facts import RecordId
from penstock.core.failure import Failure, Kind
from penstock.core.offset_map import DoneBeyond, encode
from tests.simulation.guarantees import OneCompletion, TokensInOrder
from tests.simulation.member import Member
from tests.simulation.scene import (
    MARGIN,
    REBALANCE,
    SESSION,
    ZERO,
    Actor,
    Scene,
    drops,
    runs,
    starts,
)
from tests.simulation.sink import State
from tests.simulation.world import World

POISON = Failure(Kind.RECORD, "not_json", "not JSON", "decode")
LONG = 10_000
SEEDS = (0, 2, 4)
"""Of worlds in which nothing else happens."""


def two_begun() -> tuple[Scene, Actor]:
    """By the first member, at 10."""
    scene = Scene(questions=2)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, 0, 1) == [0, 1]
    return scene, first


def one_handed_over(until: int = 500, *, begun: int = 1) -> tuple[Scene, Actor]:
    """By the first member, at 100."""
    scene = Scene(questions=3)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, *range(begun)) == list(range(begun))
    release = first.hands_over(100, until)
    assert runs(release.heads[0]) == [(offset, "first") for offset in range(begun)]
    return scene, first


def test_1_a_leaver_without_membership_drops_its_runs() -> None:
    scene, first = two_begun()
    commands = first(100, facts.Draining(until=900))
    [release] = [one for one in commands if isinstance(one, facts.Release)]
    first.commits(100, release)
    assert first(101, facts.Released(ZERO, committed=True)) == [facts.Depart()]
    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 0, 1) == []
    for offset in (0, 1):
        assert first.may_speak(600, first.record(offset))
        first.answers(600, offset)
        first(601, facts.Published(first.record(offset), first.lands(600, offset)))
    assert facts.Stop() in first(602)
    assert starts(second.follows(620)) == []
    assert second.follows(2_000) == []


def test_2_clock_skew_over_the_margin() -> None:
    scene, first = one_handed_over(until=500)
    for ahead in (-LONG, LONG):
        second = scene.enters("second")
        now = LONG + ahead + 150
        second.opens(now)
        assert second.fetches(now, 0) == []
        left = now + 400 + MARGIN
        assert starts(second.follows(left - 1)) == []
        assert starts(second.follows(left)) == [0]
    assert first.may_speak(499, first.record(0))


def test_3_entries_lost_between_two_rebalances() -> None:
    scene, _ = one_handed_over(until=900)
    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 0, 1) == [1]
    assert runs(second.hands_over(200, until=200).heads[0]) == [(0, "first")]

    third = scene.enters("third")
    opening = third.arrives(250)
    assert runs(opening.heads[0]) == [(0, "first")], "and who comes when the third has died"
    third.opened(250, opening)
    assert third.fetches(250, 0) == []


def test_3_the_entries_of_who_has_its_partition_again() -> None:
    """It is not open yet, and may go at any moment without another commit."""
    scene, first = one_handed_over(until=900)
    opening = first.arrives(150)
    assert runs(opening.heads[0]) == [(0, "first")]
    first.commits(150, opening)
    assert first.leaves(151, until=900).heads == {}

    second = scene.enters("second")
    second.opens(200)
    assert second.fetches(200, 0) == []


def test_4_revoked_while_recovering_an_empty_ledger_committed() -> None:
    scene = Scene(questions=3)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, 0, 1, 2) == [0, 1, 2]
    first.answers(11, 2)
    first.commits(12, first.hears(12, 2, first.lands(11, 2)))
    before = dict(scene.log.commits)

    second = scene.enters("second")
    second.arrives(20)
    assert second.leaves(21) == facts.Release(ZERO, heads={})
    assert scene.log.commits == before

    third = scene.enters("third")
    third.opens(30)
    assert third.fetches(30, 0, 1, 2) == [0, 1]


def test_5_a_member_that_missed_a_generation_keeps_its_old_ledger() -> None:
    scene, first = two_begun()
    before = first.record(0)
    # It stands still, and another one has its partition.
    second = scene.enters("second")
    second.opens(1_000)
    assert second.fetches(1_000, 0, 1) == [0, 1]
    second.answers(1_001, 1)
    second.hears(1_002, 1, second.lands(1_001, 1))

    lost = first(1_100, facts.Revoking(ZERO, LONG, commits=False))
    assert drops(lost) == [before, first.record(1)]
    assert not first.may_speak(1_100, before)
    assert facts.Release(ZERO, heads={}) in lost
    first(1_101, facts.Released(ZERO, committed=True))
    second.hands_over(1_200, until=1_900)
    first.opens(1_250)
    assert not first.may_speak(1_250, before)
    assert first.fetches(1_250, 0, 1) == []
    assert first(1_260, facts.Finished(before)) == []


def test_5_what_the_last_commit_was_to_say_and_did_not() -> None:
    scene, first = two_begun()
    before = first.record(0)
    first.leaves(100, until=LONG)
    lost = first(160, facts.Released(ZERO, committed=False))
    assert drops(lost) == [before, first.record(1)]

    second = scene.enters("second")
    second.opens(200)
    assert second.fetches(200, 0, 1) == [0, 1]
    assert not first.may_speak(200, before)


def test_6_a_bookmark_beyond_a_landed_unacknowledged_completion() -> None:
    scene, first = two_begun()
    first.answers(11, 0)
    first.lands(12, 0)
    first.answers(13, 1)
    commit = first.hears(14, 1, first.lands(13, 1))
    assert commit.heads[0].done == encode(DoneBeyond(0, ((1, 2),)))
    assert commit.heads[0].bookmark == Bookmark(0, 1), "where the one nobody has heard of may be"
    first.commits(14, commit)

    second = scene.enters("second")
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
    first.commits(3_000, commit)

    second = scene.enters("second")
    second.opens(3_010)
    assert second.fetches(3_010, 0, 1) == []


def test_6_an_acknowledgement_without_a_position_leaves_the_bookmark_where_it_is() -> None:
    _, first = two_begun()
    first.answers(11, 0)
    first.lands(11, 0)
    assert first.hears(12, 0, None).heads[0].bookmark == Bookmark(0, 1)


def test_6_while_others_run_something_it_is_where_their_completions_are_read() -> None:
    scene, first = one_handed_over()
    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 1) == [1]
    first.answers(160, 0)
    first.lands(160, 0)
    second.answers(170, 1)
    commit = second.hears(175, 1, second.lands(170, 1))
    assert commit.heads[0].bookmark == Bookmark(0, 1), "where that of the first is"


def test_7_crash_before_the_first_commit() -> None:
    scene = Scene(questions=2)
    first = scene.enters()
    first.arrives(10)
    assert first(11) == [], "nothing is resumed before the opening commit is in the group"
    assert facts.Resume(ZERO) not in first(12, facts.CommitFailed())
    assert scene.log.commits == {}

    second = scene.enters("second")
    second.opens(20)
    assert second.fetches(20, 0, 1) == [0, 1]


def test_7_completions_of_a_group_without_a_commit_count_from_their_start() -> None:
    scene, first = two_begun()
    first.answers(11, 1)
    first.lands(12, 1)
    scene.log.commits.clear()

    second = scene.enters("second")
    second.opens(20)
    assert second.fetches(20, 0, 1) == [0]


def test_8_an_answer_read_after_the_thaw_renews_the_lease() -> None:
    _, first = two_begun()
    first(5_000, facts.Heard(sent_at=20))
    assert first.may_speak(20 + SESSION - MARGIN - 1, first.record(0))
    assert not first.may_speak(20 + SESSION - MARGIN, first.record(0))


def test_9_dropped_by_the_rebalance_timeout_with_a_valid_lease() -> None:
    _, first = two_begun()
    first(21, facts.Heard(sent_at=20))
    for sent_at in range(120, 2_000, 100):
        first(sent_at + 1, facts.Heard(sent_at, rebalancing=True))
    assert first.may_speak(20 + REBALANCE - MARGIN - 1, first.record(0))
    assert not first.may_speak(20 + REBALANCE - MARGIN, first.record(0))


def test_9_a_group_takes_commits_while_it_rebalances() -> None:
    _, first = two_begun()
    heard, record = facts.Heard(sent_at=20), first.record(0)
    first(21, heard, facts.Finished(record))
    first(22, heard, facts.Published(record, first.lands(21, record)))
    first(300, heard, facts.Committed())
    assert not first.may_speak(20 + SESSION - MARGIN, first.record(1))


def between(world: World, *, completes: bool) -> tuple[Member, RecordId]:
    """One of two members, and of which record its client has something that it has not sent yet."""
    world.group.begin(2)
    for _ in range(2_000):
        world.live_until(world.now + 0.5)
        for member in world.group.processes:
            for record, job in member.jobs.items():
                if job.channel.state is State.QUEUED and job.channel.completes is completes:
                    return member, record
    raise LookupError("no such moment")


def test_10_network_cut_producer_retries_for_ever() -> None:
    for seed in SEEDS:
        world = World(seed, [OneCompletion])
        member, cut = between(world, completes=True)
        member.wire.cut = True
        world.live_until(world.now + 3 * SESSION)
        answered = [one[:2] for topic in world.log.completions for one in topic]
        assert (cut.partition, cut.offset) in answered, "by the other member"
        member.wire.heal()
        world.live_until(world.now + SESSION)


def test_11_a_zombies_tokens() -> None:
    for seed in SEEDS:
        world = World(seed, [TokensInOrder])
        member, _ = between(world, completes=False)
        member.frozen = True
        world.live_until(world.now + 3 * SESSION)
        member.thaw()
        world.live_until(world.now + SESSION)


def test_13_a_late_periodic_commit_overwrites_the_final_one() -> None:
    scene, first = two_begun()
    first.answers(11, 0)
    late = first.hears(12, 0, first.lands(11, 0))
    first.answers(13, 1)
    answered = first(14, facts.Published(first.record(1), first.lands(13, 1)))
    assert not any(isinstance(one, facts.Commit) for one in answered), "one is on its way"
    first.commits(15, first.leaves(15))
    assert scene.said().clean

    # Whoever does not wait for the answer to the one sees this; nothing is lost by it but time.
    first.commits(16, late)
    assert not scene.said().clean
    second = scene.enters("second")
    second.opens(20)
    assert second.fetches(20, 1) == []


def test_14_a_publish_in_flight_at_the_final_commit() -> None:
    scene, first = two_begun()
    first.answers(90, 0)
    assert first(100, facts.Revoking(ZERO, until=900)) == []
    assert first(149) == []
    # What is not acknowledged by then goes on, as what runs does.
    [release] = first(150)
    assert isinstance(release, facts.Release)
    assert runs(release.heads[0]) == [(0, "first"), (1, "first")]
    first.commits(150, release)
    first(151, facts.Released(ZERO, committed=True))

    second = scene.enters("second")
    second.opens(160)
    first.lands(170, 0)
    assert second.fetches(180, 0) == []
    assert starts(second.follows(LONG)) == []


def test_14_what_ends_while_the_final_commit_is_on_its_way_waits_for_it() -> None:
    _, first = two_begun()
    release = first.leaves(100, until=900)
    assert not first.may_speak(101, first.record(0))
    assert first(101, facts.Finished(first.record(0))) == []
    first.commits(102, release)
    assert first.record(0) in [
        one.record
        for one in first(103, facts.Released(ZERO, committed=True))
        if isinstance(one, facts.PublishCompletion)
    ]


def test_15_publishing_not_counted_as_running() -> None:
    scene, first = two_begun()
    first.answers(90, 0)
    first(95, facts.PublishFailed(first.record(0)))
    release = first.leaves(100, until=900)
    assert runs(release.heads[0]) == [(0, "first"), (1, "first")]
    first.commits(100, release)
    goes_on = first(101, facts.Released(ZERO, committed=True))
    assert facts.PublishCompletion(first.record(0)) in goes_on

    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 0, 1) == []


def test_16_the_hold_runs_out_while_the_tail_lags() -> None:
    scene, first = one_handed_over(until=500)
    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 0) == []
    over = 550 + MARGIN
    first.answers(499, 0)
    first.lands(over - 1, 0)
    # Read in time is only what was looked at in time, however late it is heard of.
    second.followed = 0
    assert starts(second(LONG, facts.Followed(0, 1, [], 0, over - 1))) == []
    assert starts(second.follows(LONG, as_of=over)) == []
    assert scene.log.completions[0][0].offset == 0


def test_17_a_stale_token_sequence() -> None:
    scene, _ = one_handed_over(until=500)
    second = scene.enters("second")
    second.opens(150)
    assert second.tail.before(0, "q0") is None, "nothing was cut off then"
    second.fetches(150, 0)
    over = 550 + MARGIN
    taken, started = second.follows(over + 20, as_of=over)[:2]
    assert taken == facts.TakeOver(second.record(0), since=over)
    assert isinstance(started, facts.Start)
    # Until it is done, nobody takes the stream for one that was never begun.
    assert not second.leaves(over + 30).heads[0].clean


def test_17_it_is_the_same_for_what_turns_up_later() -> None:
    scene, _ = one_handed_over(until=500)
    second = scene.enters("second")
    second.opens(150)
    over = 550 + MARGIN
    second.follows(over)
    taken, started = second.takes(over + 20, 0)
    assert taken == facts.TakeOver(second.record(0), since=over)
    assert isinstance(started, facts.Start)


# --- found later --------------------------------------------------------------------------------


def test_ended_while_its_partition_was_away() -> None:
    """After the completions were read, and before their reader was told of the partition."""
    _, first = one_handed_over(until=900)
    before = first.record(0)
    found = first.looks(150)
    first.answers(160, before)
    first(161, facts.Published(before, first.lands(160, before)))
    first.opened(170, first.told(170, found))
    assert first.fetches(171, 0) == []
    assert starts(first.follows(LONG)) == []


def test_a_bookmark_beyond_what_had_landed_when_its_partition_came_back() -> None:
    _, first = one_handed_over(until=900)
    before = first.record(0)
    found = first.looks(150)
    first.answers(160, before)
    assert first.lands(161, before) == 0
    first.opened(170, first.told(170, found))
    assert first.fetches(171, 0, 1) == [1]
    first.answers(180, 1)
    first(181, facts.Published(first.record(1), first.lands(180, 1)))
    first(200, facts.Revoking(ZERO, until=900))
    [release] = [one for one in first(250) if isinstance(one, facts.Release)]
    assert release.heads[0].bookmark == Bookmark(0, 1), "nobody has heard of that one yet"


def test_a_bookmark_beyond_what_appeared_while_it_let_go() -> None:
    scene, first = one_handed_over(until=900)
    second = scene.enters("second")
    second.opens(150)
    assert second.fetches(150, 0, 1) == [1]
    second.answers(190, 1)
    assert facts.Follow({}) in second(200, facts.Revoking(ZERO, until=900))
    first.answers(201, 0)
    first.lands(201, 0)
    second.follows(210)
    [release] = [one for one in second(250) if isinstance(one, facts.Release)]
    assert release.heads[0].bookmark == Bookmark(0, 1)
    assert runs(release.heads[0]) == [(0, "first"), (1, "second")]


def test_lost_before_its_partition_had_opened_again() -> None:
    """It may still be heard of: nobody takes over at once, not even who lost it."""
    _, first = one_handed_over(until=160)
    before = first.record(0)
    opening = first.arrives(150)
    assert drops(first(160)) == [before]
    first.opened(165, opening)
    assert first.fetches(170, 0) == []
    first(171, facts.Cancelled(before))
    assert starts(first.follows(160 + MARGIN - 1)) == []
    taken, started = first.follows(160 + MARGIN)[:2]
    assert taken == facts.TakeOver(first.record(0), since=160 + MARGIN)
    assert isinstance(started, facts.Start)


def test_the_retention_took_what_others_run() -> None:
    scene, _ = one_handed_over(until=900, begun=2)
    second = scene.enters("second")
    second.opens(150)
    scene.log.retain(0, 1)
    assert second.fetches(151, 1, 2) == [2]
    second.answers(152, 2)
    commit = second.hears(153, 2, second.lands(152, 2))
    assert runs(commit.heads[0]) == [(1, "first")]
    second.commits(153, commit)


def test_read_again_a_duplicate_is_one_still_when_the_first_is_forgotten() -> None:
    scene = Scene(questions=4, ids=2)
    first = scene.enters()
    first.opens(10)
    assert first.fetches(10, 1, 3) == [1]
    much_later = facts.Fetched(
        first.record(8), None, 1, failure=POISON, question_id="q1", own_id=False
    )
    first(11, replace(much_later, asked_at=10**9))
    first(12, facts.Revoking(ZERO, until=12))
    [release] = [one for one in first(62) if isinstance(one, facts.Release)]
    first.commits(62, release)
    first(63, facts.Released(ZERO, committed=True), facts.Cancelled(first.record(1)))

    first.opened(70, first.told(70, first.looks(70, known=True)))
    assert first.fetches(71, 1, 3) == [1]


def test_the_end_of_a_stream_without_a_run_is_not_left_out_of_the_last_commit() -> None:
    scene = Scene(questions=1)
    first = scene.enters()
    first.opens(10)
    poison = facts.Fetched(first.record(0), None, 1_000, failure=POISON)
    first(10, poison)
    first(11, facts.PublishFailed(first.record(0)))
    assert not first.leaves(12).heads[0].clean
