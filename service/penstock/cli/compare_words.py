"""How is what was compared put into words? For a terminal and for a page alike."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from penstock.replay.comparison import Outcome
from penstock.replay.figures import TIMES, TOKENS
from penstock.replay.pairs import Said

DIFFER: tuple[Outcome, ...] = ("changed", "newly_failed", "newly_fixed")


def outcome_name(outcome: str) -> str:
    return outcome.replace("_", " ")


def rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """What is measured, of the original, of the replay, and how they compare."""
    for name in TIMES:
        found = summary[name]
        for part in ("p50", "p90", "mean"):
            before, after = found["original"][part], found["replay"][part]
            what = f"{name.removesuffix('_ms').replace('_', ' ')}, {part}"
            yield what, _ms(before), _ms(after), _times(before, after)
    for name in TOKENS:
        before, after = summary["usage"]["original"][name], summary["usage"]["replay"][name]
        yield name.replace("_", " "), f"{before:,}", f"{after:,}", _times(before, after)
    if metric := summary.get("metric"):
        before, after = metric["original"], metric["replay"]
        verdict = f"{metric['better']:,} better, {metric['worse']:,} worse"
        yield metric["name"], _score(before), _score(after), verdict


def value(found: Any) -> str:
    """An output, or an input, as people read it."""
    if isinstance(found, str):
        return found
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def why(said: Said | None) -> str:
    """Why it has no answer."""
    found = None if said is None else said.get("error")
    if not isinstance(found, dict):
        return "no answer" if said is None else str(said.get("status"))
    return f"{found.get('kind')} {found.get('code')}: {found.get('message')}"


def _ms(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f} ms"


def _score(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"


def _times(before: float | None, after: float | None) -> str:
    return f"\N{MULTIPLICATION SIGN}{after / before:.2f}" if before and after is not None else ""
