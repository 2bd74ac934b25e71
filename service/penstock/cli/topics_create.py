"""Which topics are created, and which of their settings are set? It is asked first, then done."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aiokafka.admin import NewTopic

from penstock.cli import topics_show
from penstock.cli.connecting import Way
from penstock.cli.topics_run import Here, seen, unseen
from penstock.errors import ConfigurationError
from penstock.finding import Level
from penstock.kafka import admin
from penstock.kafka.preflight import look
from penstock.kafka.topic_alter import Changes, alter
from penstock.kafka.topic_diff import KEPT, Difference, differences
from penstock.kafka.topic_plan import plan

PARTLY = 3


class Work(NamedTuple):
    """What there is to do, and what of the differences stays as it is."""

    new: list[NewTopic]
    changed: list[Difference]
    left: list[Difference]

    @property
    def names(self) -> set[str]:
        return {new.name for new in self.new} | {one.topic for one in self.changed}

    @property
    def changes(self) -> Changes:
        by_topic: dict[str, dict[str, str]] = defaultdict(dict)
        for one in self.changed:
            by_topic[one.topic][one.setting] = one.wanted
        return by_topic

    def told(self, create: str) -> str:
        """`create`: the verb, in its tense; `set` is the same in all."""
        parts = ((create, self.new, "topic"), ("set", self.changed, "setting"))
        return " and ".join(
            f"{verb} {len(what)} {word}{'s' * (len(what) > 1)}"
            for verb, what, word in parts
            if what
        )


def run(way: Way, flags: Mapping[str, int], *, alters: bool, execute: bool, as_json: bool) -> int:
    """The exit code. `flags`: of the settings TOPICS. Raises as `seen` does."""
    return asyncio.run(_run(way, flags, alters=alters, execute=execute, as_json=as_json))


async def _run(
    way: Way, flags: Mapping[str, int], *, alters: bool, execute: bool, as_json: bool
) -> int:
    async with seen(way, flags) as here:
        work = _work(here, alters=alters)
        refused = await _refused(here, work)
        done = execute and not refused
        if done:
            work, refused = await _carry_out(here, work)
    _show(work, refused, done=done, as_json=as_json)
    for line in (
        *_left(here, flags, work, alters=alters),
        *_told(work, refused, done=done, execute=execute),
    ):
        print(f"penstock: {line}", file=sys.stderr)
    if not refused:
        return 0
    return PARTLY if done and refused.keys() < work.names else 1


def _work(here: Here, *, alters: bool) -> Work:
    new = [plan(role, here.sight, here.needs) for role in admin.absent(here.sight)]
    if new:
        admin.plannable(here.sight, here.needs)
    found = list(differences(here.sight, here.needs))
    changed = [one for one in found if alters and one.alters]
    return Work(new, changed, [one for one in found if one not in changed])


async def _refused(here: Here, work: Work) -> dict[str, str]:
    """Why, by topic; the brokers say it without doing anything."""
    created: dict[str, str] = {}
    if work.new:
        created = await admin.refusals(here.connection, work.new, validate_only=True)
    changed = await alter(here.connection, work.changes, here.needs.user, validate_only=True)
    return created | changed


async def _carry_out(here: Here, work: Work) -> tuple[Work, dict[str, str]]:
    """With what is known when the questions are there; and what was not done all the same, and
    why.
    """
    connection, before, wanted = here.connection, here.sight, here.needs
    if missing := admin.absent(before):
        try:
            sight = await admin.create(connection, before, wanted, missing)
        except ConfigurationError as error:
            sight = await look(connection, wanted)
            undone = {wanted.name(role) for role in admin.absent(sight)} | work.changes.keys()
            return work, dict.fromkeys(undone or work.names, str(error))
        work = work._replace(new=[plan(role, sight, wanted) for role in missing])
    return work, await alter(connection, work.changes, wanted.user, validate_only=False)


def _show(work: Work, refused: Mapping[str, str], *, done: bool, as_json: bool) -> None:
    if not as_json:
        for new in work.new:
            topics_show.added(new)
        topics_show.diff(work.changed, why=False)
        return
    for new in work.new:
        topics_show.line(
            {
                "action": "create",
                "topic": new.name,
                "partitions": new.num_partitions,
                "replicas": new.replication_factor,
                "settings": new.topic_configs,
                "done": done and new.name not in refused,
                "refusal": refused.get(new.name),
            }
        )
    for one in work.changed:
        topics_show.line(
            {
                "action": "alter",
                "topic": one.topic,
                "setting": one.setting,
                "current": one.current,
                "wanted": one.wanted,
                "done": done and one.topic not in refused,
                "refusal": refused.get(one.topic),
            }
        )


def _left(here: Here, flags: Mapping[str, int], work: Work, *, alters: bool) -> Iterator[str]:
    """What somebody may have expected to be done."""
    questions = here.sight.topics.get("questions")
    partitions = flags.get("partitions")
    if questions is not None and partitions not in {None, questions.partitions}:
        yield f"topic {questions.name!r} keeps its {questions.partitions} partitions: {KEPT}"
    if alters:
        yield from (str(finding) for _, finding in unseen(here.sight, here.needs))
    for one in work.left:
        if one.finding.level is not Level.OK:
            yield f"left as it is: {one.finding}"


def _told(work: Work, refused: Mapping[str, str], *, done: bool, execute: bool) -> Iterator[str]:
    for name, reason in refused.items():
        yield f"topic {name!r}: {reason}"
    if not work.names:
        yield "nothing to do"
    elif refused:
        yield f"{'partly' if done else 'nothing was'} done: {len(refused)} refused"
    elif execute:
        yield work.told("created")
    else:
        yield f"dry run: would {work.told('create')}; --execute does it"
