"""What is said of a signature is DSPy's, and said once."""

import gc
import weakref
from enum import Enum
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel

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


def _said(signature: Any) -> str:
    return str(dspy.ChatAdapter().format_system_message(signature))


@pytest.mark.parametrize("signature", [dspy.Signature("question -> answer"), Judge])
def test_it_says_what_dspy_says(signature: Any) -> None:
    adapter = ChatAdapter()
    for _ in range(2):
        assert adapter.format_system_message(signature) == _said(signature)


def test_it_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ChatAdapter()
    before = adapter.format_system_message(Judge)
    monkeypatch.setattr(dspy.ChatAdapter, "format_field_structure", lambda *_: "again")
    assert adapter.format_system_message(Judge) == before


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
