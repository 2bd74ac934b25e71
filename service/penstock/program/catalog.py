"""Which DSPy program? Settings to modules that can be run."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.adapters.utils import annotation_allows_none

from penstock.errors import ConfigurationError
from penstock.importing import imported, is_entry
from penstock.program import saved, tools
from penstock.program.model import Model
from penstock.program.plain import only_text_output
from penstock.program.version import content_version

_STEPS = "penstock_steps"


@dataclass(frozen=True, slots=True)
class Program:
    """A DSPy module, ready to run.

    Args:
        inputs: the input fields a question must have.
        accepts: all it takes; the others are left out.
        outputs: the fields of its last predictor, whose text is streamed as the answer.
        answer: of these, the one that a completion has as its `answer`, where that can be told.
        awaits: whether it runs on the loop; else it has a `forward` alone, for a thread.
    """

    name: str
    version: str
    module: dspy.Module
    model: Model
    inputs: frozenset[str]
    accepts: frozenset[str]
    outputs: frozenset[str]
    answer: str | None
    awaits: bool

    @property
    def is_a_predictor(self) -> bool:
        """There is nothing to be watched in it, which would cost 4 % of a question."""
        return type(self.module) in {dspy.Predict, dspy.ChainOfThought}

    def step(self, predictor: Any) -> str | None:
        """The predictor's name in this program, or that of which it is a copy."""
        names: Mapping[str, str] = getattr(predictor, _STEPS, {})
        return names.get(self.name)


def load(
    name: str, entry: str, model: Model, *, state: Path | None = None, version: str | None = None
) -> Program:
    """A program from a signature, or from `package.module:attribute`.

    Args:
        name: of the program.
        entry: see above.
        model: which it asks.
        state: what an optimizer has saved of it, as JSON.
        version: its name for what is served; else the program's content gives one.

    Raises:
        ConfigurationError: it cannot be imported, is no program that can be served, or its state
            is another program's.
    """
    module = _module(name, entry, own=state is not None)
    awaits = hasattr(type(module), "aforward")
    if not awaits and not hasattr(type(module), "forward"):
        raise ConfigurationError(
            f"program {name!r}: {type(module).__name__} has neither `aforward` nor `forward`"
        )
    predictors = module.named_predictors()
    if not predictors:
        raise ConfigurationError(f"program {name!r}: it has no predictor, so it asks no model")
    if state is not None:
        try:
            saved.restore(module, state)
        except ConfigurationError as error:
            raise ConfigurationError(f"program {name!r}: {error}") from error
    tools.serve(module)
    for step, predictor in predictors:
        # On the predictor itself: modules such as `dspy.BestOfN` run deep copies.
        vars(predictor).setdefault(_STEPS, {})[name] = step
    if model.adapter_name == "plain":
        try:
            for _, predictor in predictors:
                only_text_output(predictor.signature)
        except ConfigurationError as error:
            raise ConfigurationError(f"program {name!r}: {error}") from error
    outputs = predictors[-1][1].signature.output_fields
    inputs, accepts = _inputs(module)
    version = version or content_version(module)
    return Program(
        name,
        version,
        module,
        model,
        inputs,
        accepts,
        frozenset(outputs),
        _answer(outputs),
        awaits,
    )


def _module(name: str, entry: str, *, own: bool) -> dspy.Module:
    """`own`: nothing else may use the very same object."""
    found = _signature(name, entry) if "->" in entry else _imported(name, entry)
    try:
        if inspect.isclass(found) and issubclass(found, dspy.Signature):
            found = dspy.Predict(found)
        elif inspect.isclass(found) and issubclass(found, dspy.Module):
            found = found()
        elif own and isinstance(found, dspy.Module):
            found = found.deepcopy()
    except Exception as error:
        raise ConfigurationError(f"program {name!r}: {type(error).__name__}: {error}") from error
    if not isinstance(found, dspy.Module):
        raise ConfigurationError(
            f"program {name!r}: {entry} is a {type(found).__name__}, not a dspy.Module or Signature"
        )
    if isinstance(found, dspy.Predict) and not found.signature.output_fields:
        raise ConfigurationError(f"program {name!r}: the signature {entry!r} has no output field")
    return found


def _signature(name: str, entry: str) -> type[dspy.Signature]:
    try:
        signature: type[dspy.Signature] = dspy.Signature(entry)
    except Exception as error:
        raise ConfigurationError(f"program {name!r}: the signature {entry!r}: {error}") from error
    if not signature.output_fields:
        raise ConfigurationError(f"program {name!r}: the signature {entry!r} has no output field")
    return signature


def _imported(name: str, entry: str) -> Any:
    if not is_entry(entry):
        raise ConfigurationError(
            f"program {name!r}: {entry!r} is neither a signature such as 'question -> answer' "
            "nor 'package.module:attribute'"
        )
    try:
        return imported(entry)
    except ConfigurationError as error:
        raise ConfigurationError(f"program {name!r}: {error}") from error.__cause__


def _inputs(module: dspy.Module) -> tuple[frozenset[str], frozenset[str]]:
    """What it needs, and what it takes."""
    if isinstance(module, dspy.BestOfN | dspy.Refine):
        # They hand on whatever they are given.
        return _inputs(module.module)
    signature = getattr(module, "signature", None)
    if signature is not None:
        return _needed(signature), frozenset(signature.input_fields)
    # Not by its attribute, which warns whoever looks at it.
    called = "aforward" if hasattr(type(module), "aforward") else "forward"
    parameters = inspect.signature(object.__getattribute__(module, called)).parameters.values()
    named = [p for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    needs = frozenset(p.name for p in named if p.default is p.empty)
    takes = frozenset(p.name for p in named)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        # `**kwargs` are handed on to a predictor, in all likelihood the first.
        signature = module.named_predictors()[0][1].signature
        takes |= frozenset(signature.input_fields)
        # Beside parameters of its own, it may well make some of the predictor's itself.
        needs = needs if named else _needed(signature)
    return needs, takes


def _answer(outputs: Mapping[str, Any]) -> str | None:
    texts = [name for name, info in outputs.items() if info.annotation is str]
    # As `penstock.events.report.answer_of` has it.
    return "answer" if "answer" in texts else next(reversed(texts), None)


def _needed(signature: Any) -> frozenset[str]:
    return frozenset(
        name
        for name, info in signature.input_fields.items()
        if info.is_required() and not annotation_allows_none(info.annotation)
    )
