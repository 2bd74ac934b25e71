"""What has an optimizer learned? Its state, as `program.save("state.json")` writes it."""

import json
import re
from pathlib import Path
from typing import Any

import dspy

from penstock.errors import ConfigurationError

_UNTOUCHED = re.compile(r"\$\{(\w+)\}")
"""The description DSPy gives a field that has none. It alone tells the name of a saved field."""


def restore(module: dspy.Module, path: Path) -> None:
    """Instructions, descriptions and demos; never the language model, which is ours to choose.

    DSPy itself would take a state of other fields in silence, as far as it goes.

    Raises:
        ConfigurationError: the file is no state in JSON, or that of another program; says which
            predictor or field is in the way.
    """
    state = _read(path)
    _check(state, module, path)
    for predictor in state.values():
        # A model of its own would come before the one that is configured.
        predictor["lm"] = None
    try:
        module.load_state(state)
    except Exception as error:
        raise ConfigurationError(f"its state {path}: {type(error).__name__}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir() or path.suffix != ".json":
        raise ConfigurationError(
            f"its state {path} is not a .json file: pickles and whole programs run code when they "
            'are read, so they are not; save it with `program.save("state.json")`'
        )
    try:
        state = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"its state {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"its state {path} is not JSON: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(one, dict) for one in state.values()):
        raise ConfigurationError(f"its state {path} is not what `program.save` writes")
    state.pop("metadata", None)
    return state


def _check(state: dict[str, Any], module: dspy.Module, path: Path) -> None:
    parameters = dict(module.named_parameters())
    if missing := parameters.keys() - state.keys():
        raise ConfigurationError(
            f"its state {path} does not hold the predictor {min(missing)!r} "
            f"(it holds: {', '.join(state)})"
        )
    if unknown := state.keys() - parameters.keys():
        raise ConfigurationError(
            f"its state {path} is of another program: it holds the predictor {min(unknown)!r} "
            f"(the program has: {', '.join(parameters)})"
        )
    for name, parameter in parameters.items():
        if isinstance(parameter, dspy.Predict):
            try:
                _check_fields(state[name], parameter)
            except (KeyError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"its state {path} is not what `program.save` writes: the predictor {name!r} "
                    f"has no {error}"
                ) from error
            except ValueError as error:
                raise ConfigurationError(
                    f"its state {path} is of another program: the predictor {name!r} {error}"
                ) from error


def _check_fields(state: dict[str, Any], predictor: dspy.Predict) -> None:
    ours, theirs = list(predictor.signature.fields), state["signature"]["fields"]
    if len(ours) != len(theirs):
        prefixes = ", ".join(repr(field["prefix"]) for field in theirs)
        raise ValueError(f"has the fields {', '.join(ours)}, and the state {prefixes}")
    for name, field in zip(ours, theirs, strict=True):
        named = _UNTOUCHED.fullmatch(field["description"] or "")
        if named and named[1] != name:
            raise ValueError(f"has the field {name!r}, and the state {named[1]!r} in its place")
    for demo in state["demos"]:
        if not demo.keys() & predictor.signature.fields.keys():
            raise ValueError(f"has demos of other fields ({', '.join(demo)})")
