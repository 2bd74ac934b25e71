"""Where is what was done before looked for, and how far back?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.kafka.sink import Target

CLOCK_SKEW = 60.0
"""Seconds by which the clocks of brokers and members may differ."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how far back.

    Args:
        questions: the topic.
        group: its consumer group.
        completions: the topic that says what is done.
        tokens: the topic that says how far a cut off run had come.
        window_ms: how long an id is not asked again.
        longest_run: seconds a run takes at most.
        hold: seconds after which runs that we cannot know of have ended.
        replay: the id of the replay that asks them again, if one does.
        begins: by partition, where it begins that has no commit; else with the log.
        since: Unix seconds; nothing of the group was completed before.
    """

    questions: str
    group: str
    completions: Target
    tokens: Target
    window_ms: int
    longest_run: float
    hold: float
    replay: str | None = None
    begins: Mapping[int, int] = field(default_factory=dict)
    since: float = 0.0
