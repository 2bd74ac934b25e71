"""The readers say what DSPy's adapters parse, however the text is cut, and say it at once."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

import dspy
import pytest
from dspy.adapters.chat_adapter import ChatAdapter
from dspy.adapters.json_adapter import JSONAdapter
from dspy.utils.exceptions import AdapterParseError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.program.fields import ChatFields, JSONFields, Pieces, PlainFields

FIELDS = ("reasoning", "answer", "größe")
SIGNATURE = dspy.Signature(
    {"question": (str, dspy.InputField())} | {name: (str, dspy.OutputField()) for name in FIELDS}
)
many = settings(max_examples=1000, deadline=None, print_blob=True)
some = settings(many, max_examples=400)


class Reader(Protocol):
    def feed(self, text: str) -> Pieces: ...
    def finish(self) -> Pieces: ...


def read(reader: Reader, chunks: Collection[str]) -> dict[str, str]:
    pieces = [piece for chunk in chunks for piece in reader.feed(chunk)] + reader.finish()
    assert all(text for _, text in pieces)
    said: dict[str, str] = defaultdict(str)
    for field, text in pieces:
        said[field] += text
    return dict(said)


def parsed(adapter: Any, text: str) -> dict[str, str]:
    """What the adapter finds; an empty field is as good as none, for there is nothing to stream."""
    try:
        fields = adapter.parse(SIGNATURE, text)
    except AdapterParseError as error:
        fields = error.parsed_result or {}
    return {name: value for name, value in fields.items() if value}


def cut(text: str, widths: list[int]) -> list[str]:
    """Cut into pieces of these widths, over and over."""
    chunks = []
    while text:
        for width in widths:
            chunks.append(text[:width])
            text = text[width:]
    return chunks


cuts = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)
line_breaks = st.sampled_from(["\n", "\r\n", "\r", *"\v\f\x1c\x1d\x1e\x85\u2028\u2029"])
spaces = st.sampled_from([" ", "  ", "\t", "\x1f", "\xa0", "\u3000", "\n", "\n\n", "\r\n \n"])
headers = st.sampled_from([*FIELDS, "completed", "Answer", "x"]).map("[[ ## {} ## ]]".format)
header_like = st.sampled_from(
    ["[[ ## answer ##]]", "[[ ## two words ## ]]", "[[ ##  ## ]]", "[[## answer ## ]]"]
)
fragments = st.tuples(st.integers(0, 18), st.integers(0, 18)).map(
    lambda ends: "[[ ## answer ## ]]"[slice(*sorted(ends))]
)
words = st.text(st.characters(codec="utf-8"), max_size=6)
chat_texts = st.lists(
    st.one_of(line_breaks, line_breaks, spaces, headers, headers, header_like, fragments, words),
    max_size=16,
).map("".join)


@many
@given(chat_texts, cuts)
@example("  [[ ## answer ## ]] yes  \n  no", [1])
@example("[[ ## answer ## ]]a\r\nb\r", [18, 2])
def test_chat_fields_say_what_the_chat_adapter_parses(text: str, widths: list[int]) -> None:
    assert read(ChatFields(FIELDS), cut(text, widths)) == parsed(ChatAdapter(), text)


@many
@given(st.lists(st.tuples(headers, line_breaks, chat_texts, line_breaks), max_size=4), cuts)
def test_chat_fields_of_well_formed_answers(
    sections: list[tuple[str, ...]], widths: list[int]
) -> None:
    text = "".join("".join(section) for section in sections)
    assert read(ChatFields(FIELDS), cut(text, widths)) == parsed(ChatAdapter(), text)


@some
@given(chat_texts)
def test_ordinary_text_waits_for_nothing(text: str) -> None:
    """Whatever is no white space and no beginning of a header has left by now."""
    reader = ChatFields(FIELDS)
    said = "".join(piece for _, piece in reader.feed("[[ ## answer ## ]]\nx" + text + "\ny"))
    assert said + "".join(piece for _, piece in reader.finish()) == said


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (["[[ ## answer ## ]]\nHello wor"], "Hello wor"),
        (["[[ ## answer ## ]]\nHello", " wor"], "Hello wor"),
        (["[[ ## answer ## ]]\nsee [["], "see [["),
        (["[[ ## answer ## ]]\nsee", " [[ ## answer"], "see [[ ## answer"),
        (["[[ ## answer ## ]]\n", "[1] says"], "[1] says"),
        (["[[ ## answer ## ]]\n", "[[x"], "[[x"),
        (["[[ ## answer ## ]]\n", "[["], ""),
        (["[[ ## answer ## ]]\nHello \n\n "], "Hello"),
        (["[[ ## answer ## ]]\nHello\n", "[[ ## comp"], "Hello"),
        (["[[ ## answer ## ]] Hello"], "Hello"),
    ],
)
def test_chat_text_leaves_as_soon_as_it_cannot_be_a_header(chunks: list[str], said: str) -> None:
    reader = ChatFields(FIELDS)
    assert "".join(text for chunk in chunks for _, text in reader.feed(chunk)) == said


def test_what_was_no_header_after_all_is_said_at_the_end() -> None:
    assert read(ChatFields(FIELDS), ["[[ ## answer ## ]]\nsee\n[[ ## ans"]) == {
        "answer": "see\n[[ ## ans"
    }


def test_the_first_section_of_a_chat_field_counts() -> None:
    text = "[[ ## answer ## ]]\none\n[[ ## other ## ]]\nx\n[[ ## answer ## ]]\ntwo"
    assert read(ChatFields(FIELDS), [text]) == {"answer": "one"}


keys = st.sampled_from([*FIELDS, "other"])
escape_like = st.sampled_from(['"', "\\", "\\u", "\\n", "{", "}", "😀", "\ud83d", "\ude00", "\x00"])
strings = st.lists(st.one_of(words, spaces, escape_like), max_size=6).map("".join)
nested = st.recursive(
    st.one_of(strings, st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
# Every field is text here; of the other key the value may be anything.
objects = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, strings) | {"other": nested})
Writer = Callable[[Any], str]


def with_escaped_key(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace('"answer"', r'"\u0061nswer"')


written: st.SearchStrategy[Writer] = st.sampled_from(
    [json.dumps, partial(json.dumps, ensure_ascii=False, indent=2), with_escaped_key]
)
frames = st.sampled_from(["{}", " \n{}\n", "```json\n{}\n```", "Here it is:\n{}"])


@many
@given(objects, written, cuts)
def test_json_fields_say_what_the_json_adapter_parses(
    value: dict[str, Any], write: Writer, widths: list[int]
) -> None:
    text = write(value)
    json.loads(text)
    assert read(JSONFields(FIELDS), cut(text, widths)) == parsed(JSONAdapter(), text)


@some
@given(objects, written, frames, cuts)
def test_json_fields_find_the_object(
    value: dict[str, Any], write: Writer, frame: str, widths: list[int]
) -> None:
    text = write(value)
    said = read(JSONFields(FIELDS), cut(frame.replace("{}", text), widths))
    # Halves of a surrogate pair meet on the way, so what was written is not what is read.
    assert said == {name: json.loads(text)[name] for name in FIELDS if value.get(name)}


@some
@given(st.dictionaries(keys, nested), written, cuts)
def test_other_json_values_stay_json(
    value: dict[str, Any], write: Writer, widths: list[int]
) -> None:
    text = write(value)
    said = read(JSONFields(FIELDS), cut(text, widths))
    # As above: halves of a pair meet or do not meet, depending on how they were written.
    wanted = json.loads(text)
    for name in set(FIELDS) & value.keys():
        if not isinstance(value[name], str):
            assert repr(json.loads(said[name])) == repr(wanted[name])


json_noise = st.sampled_from(
    [*'{}[]":,\\ \n', '{"answer": "', '"answer": ', '", "x": "', "\\u", "\\ud83d", "12", "tr"]
)


@some
@given(st.lists(st.one_of(json_noise, words), max_size=16).map("".join), cuts)
def test_broken_json_is_read_the_same_however_it_is_cut(text: str, widths: list[int]) -> None:
    assert read(JSONFields(FIELDS), cut(text, widths)) == read(JSONFields(FIELDS), [text])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"answer": "Hello wor', "Hello wor"),
        ('{"answer": "a\\', "a"),
        ('{"answer": "a\\n', "a\n"),
        ('{"answer": "a\\ud83d', "a"),
        ('{"answer": "a\\ud83d\\ude0', "a"),
        ('{"answer": "a\\ud83d\\ude00', "a😀"),
        ('{"answer": "a\\ud83dx', "a\ud83dx"),
        ('{"answer": "line\nbreak', "line\nbreak"),
        (r'{"answer": "\(x\) \u12 y', r"\(x\) \u12 y"),
        ('{"answer": 4', ""),
        ('{"answer": 42,', "42"),
        ('{"answer": [1, "]', '[1, "]'),
        ('Use {braces} and {}: {"answer": "x', "x"),
        ('{"answer": "he said "hi" to me"}', "he said "),
        ('{"answer": "one", "answer": "two"}', "one"),
        ("{'answer': 'x'}", ""),
        ('{"answer": nonsense, "answer": "x"}', ""),
    ],
)
def test_json_text_leaves_when_it_is_certain(text: str, said: str) -> None:
    reader = JSONFields(FIELDS)
    assert "".join(piece for char in text for _, piece in reader.feed(char)) == said
    assert "".join(piece for _, piece in JSONFields(FIELDS).feed(text)) == said
    assert reader.finish() == []


@some
@given(st.lists(st.one_of(words, spaces, line_breaks), max_size=8).map("".join), cuts)
def test_plain_fields_say_the_stripped_text(text: str, widths: list[int]) -> None:
    said = read(PlainFields("answer"), cut(text, widths))
    assert said == ({"answer": text.strip()} if text.strip() else {})


def test_plain_text_leaves_at_once() -> None:
    reader = PlainFields("answer")
    chunks = [" \n", "Hello", " wor", " ", "\n", "ld "]
    assert [reader.feed(chunk) for chunk in chunks] == [
        [],
        [("answer", "Hello")],
        [("answer", " wor")],
        [],
        [],
        [("answer", " \nld")],
    ]
