"""What is said of a signature is DSPy's, and said once."""

import gc
import weakref
from enum import Enum
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel, ConfigDict

from penstock.program.chat import ChatAdapter


class Mood(Enum):
    CALM = "calm"
    ANGRY = "angry"


class Verdict(BaseModel):
    mood: Mood
    reasons: list[str]


class Judge(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Judge a letter."""

    letter: str = dspy.InputField(desc="as it came")
    verdict: Verdict = dspy.OutputField()
    urgency: Literal["low", "high"] = dspy.OutputField()


class Sort(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Sort a letter."""

    letter: str = dspy.InputField(desc="as it came")
    moods: list[Mood] = dspy.OutputField()
    urgency: Literal["low", "high"] | None = dspy.OutputField()


def _said(signature: Any) -> str:
    return str(dspy.ChatAdapter().format_system_message(signature))


@pytest.mark.parametrize("signature", [dspy.Signature("question -> answer"), Judge, Sort])
def test_it_says_what_dspy_says(signature: Any) -> None:
    adapter = ChatAdapter()
    for _ in range(2):
        assert adapter.format_system_message(signature) == _said(signature)


def test_it_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ChatAdapter()
    before = adapter.format_system_message(Sort)
    monkeypatch.setattr(dspy.ChatAdapter, "format_field_structure", lambda *_: "again")
    assert adapter.format_system_message(Sort) == before


def test_what_a_type_says_of_itself_now_is_said() -> None:
    known: list[Any] = ["water"]

    class Topic(BaseModel):
        model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(examples=known))
        name: str

    class Map(dspy.Type):  # type: ignore[misc] # DSPy has no types
        place: str

        @classmethod
        def description(cls) -> str:
            return f"of {known}"

        def format(self) -> str:
            return self.place

    given = dspy.Signature("question -> answer").append("map", dspy.InputField(), Map)
    wanted = dspy.Signature("question -> answer").append("topic", dspy.OutputField(), list[Topic])
    adapter = ChatAdapter()
    for signature in (given, wanted):
        assert "light" not in adapter.format_system_message(signature)
    known.append("light")
    for signature in (given, wanted):
        assert "light" in adapter.format_system_message(signature)


def test_what_a_program_changes_of_a_signature_is_said() -> None:
    adapter, signature = ChatAdapter(), dspy.Signature("question -> answer")
    adapter.format_system_message(signature)
    signature.instructions = "Be brief."
    assert "Be brief." in adapter.format_system_message(signature)
    signature.model_fields["answer"].json_schema_extra["desc"] = "in verse"
    assert "in verse" in adapter.format_system_message(signature)
    assert adapter.format_system_message(signature) == _said(signature)


def test_a_signature_that_is_gone_is_forgotten() -> None:
    adapter, signature = ChatAdapter(), dspy.Signature("question -> answer")
    adapter.format_system_message(signature)
    gone = weakref.ref(signature)
    del signature
    gc.collect()
    assert gone() is None
