"""What was compared, as a page for a browser: one file that needs no network and no script.

What questions and answers say is strangers' text: everything that is put into the page goes through
`escape`, and the page's own policy lets a browser run nothing and load nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from importlib.resources import files
from pathlib import Path
from shutil import copyfileobj
from string import Template
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from penstock.cli.compare_words import DIFFER, outcome_name, rows, value, why
from penstock.cli.lines import written
from penstock.cli.transcript import plain
from penstock.replay.comparison import OUTCOMES, Compared, answered, outputs
from penstock.replay.figures import number
from penstock.replay.pairs import Said
from penstock.replay.word_diff import Kind, word_diff

SHOWN = 300
"""Questions of each outcome; a browser has to show them all."""
TEXT = 4_000
"""Characters of an input or of an output in which nothing is compared."""
IN_MEMORY = 8 * 1024 * 1024

_TAGS: Mapping[Kind, tuple[str, str]] = {
    "same": ("", ""),
    "gone": ("<del>", "</del>"),
    "new": ("<ins>", "</ins>"),
}


@contextmanager
def as_page(file: Path) -> Iterator["Page"]:
    """In this file, which is there when the block has ended without an error."""
    with SpooledTemporaryFile(IN_MEMORY) as questions, written(file) as page:
        yield Page(page, questions)


class Page:
    """The totals stand above the questions and are known behind them: those are written apart."""

    def __init__(self, page: IO[bytes], questions: IO[bytes]) -> None:
        self._page = page
        self._questions = questions
        self._shown: Counter[str] = Counter()

    def add(self, one: Compared) -> None:
        if self._shown[one.outcome] < SHOWN:
            self._shown[one.outcome] += 1
            self._questions.write(_question(one).encode())

    def end(self, summary: Mapping[str, Any]) -> None:
        template = (files("penstock.cli") / "compare_page.html").read_text(encoding="utf-8")
        above, below = (
            Template(template)
            .substitute(
                replay=escape(plain(summary["replay"])),
                questions=f"{summary['questions']:,}",
                sides=_sides(summary),
                filters=_filters(summary["outcomes"]),
                figures=_figures(summary),
                notes=_notes(summary, self._shown),
                list="\0",
            )
            .split("\0")
        )
        self._page.write(above.encode())
        self._questions.seek(0)
        copyfileobj(self._questions, self._page)
        self._page.write(below.encode())


def _sides(summary: Mapping[str, Any]) -> str:
    return "".join(
        f"<dt>{side}</dt><dd>{escape(plain(', '.join(summary['programs'][side]) or 'nobody'))}</dd>"
        for side in ("original", "replay")
    )


def _filters(outcomes: Mapping[str, int]) -> str:
    """A choice between all that differ, each outcome, and all questions."""
    differ = sum(outcomes[outcome] for outcome in DIFFER)
    named = [(name, means) for name, means in OUTCOMES.items() if outcomes[name]]
    choices = [
        ("differ", "differences", differ, "changed, newly failed or newly fixed"),
        *((name, outcome_name(name), outcomes[name], means) for name, means in named),
        ("all", "all", sum(outcomes.values()), "every question that is on this page"),
    ]
    first = "differ" if differ else "all"
    return "".join(
        f'<input type="radio" name="show" id="show-{name}"{" checked" if name == first else ""}>'
        f'<label for="show-{name}" title="{escape(means)}">'
        f"<b>{count:,}</b> {label}</label>"
        for name, label, count, means in choices
    )


def _figures(summary: Mapping[str, Any]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(plain(what))}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for what, *cells in rows(summary)
    )


def _notes(summary: Mapping[str, Any], shown: Mapping[str, int]) -> str:
    notes = []
    if summary["not_replayed"]:
        notes.append(f"{summary['not_replayed']:,} questions have no answer of the replay.")
    for outcome, count in summary["outcomes"].items():
        if count > shown.get(outcome, 0):
            notes.append(
                f"{outcome_name(outcome)}: the first {shown[outcome]:,} of {count:,} are shown; "
                "--output json has them all."
            )
    if raised := summary.get("metric", {}).get("raised"):
        notes.append(f"The metric raised for {raised:,} questions.")
    return "".join(f"<p>{escape(note)}</p>" for note in notes)


def _question(one: Compared) -> str:
    inputs = {"": "It cannot be read."} if one.inputs is None else one.inputs
    return (
        f'<article class="{one.outcome}"><h3><b>{outcome_name(one.outcome)}</b> '
        f"<code>{_text(one.question_id)}</code> "
        f"<small>partition {one.partition}, offset {one.offset}</small></h3>"
        f'<dl class="inputs">{_values(inputs)}</dl>'
        f"<dl>{_outputs(one)}</dl>{_measured(one)}</article>\n"
    )


def _outputs(one: Compared) -> str:
    before, after = outputs(one.original), outputs(one.replay)
    if one.outcome in {"changed", "equal"}:
        return "".join(
            _field(name, _diff(before, after, name))
            if name in one.fields
            else _field(name, _text(value(after[name])))
            for name in dict.fromkeys((*before, *after))
            if name in one.fields or name in after
        )
    return "".join(
        _field(side, _ended(said))
        for side, said in (("original", one.original), ("replay", one.replay))
    )


def _ended(said: Said | None) -> str:
    """How it ended, where there is nothing to compare it with."""
    if not answered(said):
        return f'<span class="error">{_text(why(said))}</span>'
    return f"<dl>{_values(outputs(said))}</dl>"


def _values(fields: Mapping[str, Any]) -> str:
    return "".join(_field(name, _text(value(said))) for name, said in fields.items())


def _diff(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    old, new = (plain(value(side[name])) if name in side else "" for side in (before, after))
    pieces = []
    for piece in word_diff(old, new):
        begin, end = _TAGS[piece.kind]
        pieces.append(f"{begin}{_text(piece.text)}{end}")
    return "".join(pieces)


def _measured(one: Compared) -> str:
    lines = []
    for side, said in (("original", one.original), ("replay", one.replay)):
        if said is None:
            continue
        parts = []
        if (took := number(said, "timing", "duration_ms")) is not None:
            parts.append(f"{took:,.0f} ms")
        parts.append(f"{number(said, 'usage', 'total_tokens') or 0:,.0f} tokens")
        score = None if one.scores is None else getattr(one.scores, side)
        if score is not None:
            parts.append(f"score {score:.4g}")
        lines.append(f"{side}: {', '.join(parts)}")
    if one.scores is not None and one.scores.error is not None:
        lines.append(f"the metric raised {one.scores.error}")
    return f"<footer>{''.join(f'<span>{_text(line)}</span>' for line in lines)}</footer>"


def _field(name: str, html: str) -> str:
    return f"<dt>{_text(name)}</dt><dd>{html}</dd>"


def _text(text: str) -> str:
    """Escaped, and not too long."""
    said = plain(text)
    cut = f"{said[:TEXT]}… ({len(said) - TEXT:,} characters more)" if len(said) > TEXT else said
    return escape(cut)
