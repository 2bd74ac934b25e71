"""Which DSPy program? Settings to modules that can be run."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.adapters.utils import annotation_allows_none

from penstock.errors import ConfigurationError
from penstock.program.model import Model
from penstock.program.plain import only_text_output


@dataclass(frozen=True, slots=True)
class Step:
    """A predictor of a program: its name there, and the fields it writes."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A DSPy module, ready to run.

    Args:
        inputs: the input fields a question must have.
        accepts: all it takes; the others are left out.
        outputs: the fields of its last predictor, whose text is streamed as the answer.
        steps: by the `id()` of the predictor.
    """

    name: str
    version: str | None
    module: dspy.Module
    model: Model
    inputs: frozenset[str]
    accepts: frozenset[str]
    outputs: frozenset[str]
    steps: Mapping[int, Step]

    @property
    def may_use_tools(self) -> bool:
        """A predictor by itself does not, and to watch every call for one is 7 % of a question."""
        return type(self.module) not in {dspy.Predict, dspy.ChainOfThought}


def load(name: str, entry: str, version: str | None, model: Model) -> Program:
    """A program from a signature, or from `package.module:attribute`.

    Raises:
        ConfigurationError: it cannot be imported, or is no program that can be served.
    """
    module = _module(name, entry)
    if not hasattr(type(module), "aforward"):
        raise ConfigurationError(
            f"program {name!r}: {type(module).__name__} has no `aforward`; write its `forward` as "
            "`async def aforward`, awaiting `predictor.acall(...)`"
        )
    predictors = module.named_predictors()
    if not predictors:
        raise ConfigurationError(f"program {name!r}: it has no predictor, so it asks no model")
    steps = {
        id(predictor): Step(step, tuple(predictor.signature.output_fields))
        for step, predictor in predictors
    }
    if model.adapter_name == "plain":
        try:
            for _, predictor in predictors:
                only_text_output(predictor.signature)
        except ConfigurationError as error:
            raise ConfigurationError(f"program {name!r}: {error}") from error
    outputs = frozenset(predictors[-1][1].signature.output_fields)
    inputs, accepts = _inputs(module)
    return Program(name, version, module, model, inputs, accepts, outputs, steps)


def _module(name: str, entry: str) -> dspy.Module:
    found = _signature(name, entry) if "->" in entry else _imported(name, entry)
    try:
        if inspect.isclass(found) and issubclass(found, dspy.Signature):
            found = dspy.Predict(found)
        elif inspect.isclass(found) and issubclass(found, dspy.Module):
            found = found()
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
    module_name, colon, attribute = entry.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(
            f"program {name!r}: {entry!r} is neither a signature such as 'question -> answer' "
            "nor 'package.module:attribute'"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ConfigurationError(
            f"program {name!r}: cannot import {entry!r}: {type(error).__name__}: {error}"
        ) from error
    return found


def _inputs(module: dspy.Module) -> tuple[frozenset[str], frozenset[str]]:
    """What it needs, and what it takes."""
    signature = getattr(module, "signature", None)
    if signature is None:
        parameters = list(inspect.signature(module.aforward).parameters.values())
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            named = [p for p in parameters if p.kind is not p.VAR_POSITIONAL]
            required = frozenset(p.name for p in named if p.default is p.empty)
            return required, frozenset(p.name for p in named)
        # `**kwargs` are handed on to a predictor, in all likelihood the first.
        signature = module.named_predictors()[0][1].signature
    required = frozenset(
        name
        for name, info in signature.input_fields.items()
        if info.is_required() and not annotation_allows_none(info.annotation)
    )
    return required, frozenset(signature.input_fields)
