"""What has an operator before him? The parts of the console beside the questions."""

from dataclasses import dataclass

from penstock.gateway.bulletin import Bulletin
from penstock.gateway.letters import Letters
from penstock.gateway.reach import Reach
from penstock.gateway.replays import Replays


@dataclass(frozen=True, slots=True)
class Desk:
    """`reach`: to Kafka, for what is rare."""

    reach: Reach
    bulletin: Bulletin
    letters: Letters
    replays: Replays
