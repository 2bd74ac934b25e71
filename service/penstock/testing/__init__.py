"""How do you test a program with deadlines, retries and dead letters? Without Kafka, at once.

    def test_it_answers(penstock):                      # the fixture, once penstock is installed
        penstock.model.says(answer="Short waves scatter more.")
        assert penstock.ask("Why is the sky blue?").answer == "Short waves scatter more."

    with stage(program="desk:SupportDesk") as penstock:     # the same without pytest
        ...

What runs is the service: its engine, its runner, your program, its client of the model. Topics and
model are in memory, and time is simulated: what waits for 20 s is over in a millisecond.
"""

from penstock.testing.asked import Asked, DeadLetter
from penstock.testing.model import Request, ScriptedModel
from penstock.testing.stage import Stage, stage

__all__ = ["Asked", "DeadLetter", "Request", "ScriptedModel", "Stage", "stage"]
