"""The page of a comparison, in a real browser; what strangers write into it does nothing."""

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.compare_page import SHOWN, TEXT, as_page
from penstock.replay.comparison import Compared, Scores
from tests.support.browser import browsing
from tests.support.compared_sample import letters, summary

ATTACK = """</style></dd><script>document.title = "theirs"</script><img src="http://127.0.0.1:1/x"
onerror="document.title='theirs'"><a href='javascript:1'>$list &amp; \0\x1b[31m"""

VISIBLE = """[...document.querySelectorAll("article")].filter(one => one.checkVisibility())
    .map(one => one.className).join(" ")"""


def page(file: Path, compared: list[Compared], more: Mapping[str, Any] | None = None) -> str:
    with as_page(file) as shown:
        for one in compared:
            shown.add(one)
        shown.end({**summary(compared), **(more or {})})
    return file.read_text(encoding="utf-8")


def attacked() -> Compared:
    said = {
        "question_id": ATTACK,
        "status": "completed",
        "outputs": {ATTACK: ATTACK, "answer": {"deep": [ATTACK]}},
        "program": {"name": ATTACK},
    }
    other = {**said, "outputs": {ATTACK: f"{ATTACK} other", "answer": None}}
    fields = (ATTACK, "answer")
    return Compared(0, 0, {ATTACK: ATTACK}, said, other, "changed", fields, Scores(error=ATTACK))


def failed() -> Compared:
    error = {"kind": ATTACK, "code": ATTACK, "message": ATTACK}
    said = {"question_id": "q", "status": "failed", "error": error}
    return Compared(0, 1, None, said, said, "both_failed")


class Tags(HTMLParser):
    """Those of a page, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_what_strangers_write_is_text(tmp_path: Path) -> None:
    tame = Tags(page(tmp_path / "tame.html", list(letters())))
    text = page(tmp_path / "wild.html", [attacked(), failed()], {"replay": ATTACK})
    wild = Tags(text)
    assert wild.names <= tame.names
    assert wild.attributes <= tame.attributes
    assert not wild.attributes & {"src", "href", "onerror", "style"}
    assert "\x1b" not in text
    assert "\0" not in text
    # It is all there, to be read.
    assert text.count("&lt;script&gt;") > 10


def test_a_page_is_bounded_and_says_so(tmp_path: Path) -> None:
    [one, *_] = letters(1)
    long = Compared(0, 0, {"letter": "x" * (TEXT + 7)}, one.original, one.replay, "equal")
    text = page(tmp_path / "page.html", [one] * (SHOWN + 5) + [long])
    assert text.count("<article") == SHOWN + 1
    assert f"changed: the first {SHOWN} of {SHOWN + 5} are shown" in text
    assert "… (7 characters more)" in text
    assert "x" * (TEXT + 1) not in text


def test_what_fails_leaves_no_page(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    with pytest.raises(ZeroDivisionError), as_page(file):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


async def test_in_a_browser(tmp_path: Path) -> None:
    """Everything without a network and without a script; by the keyboard, on a small screen, in
    the dark.
    """
    compared = [*letters(10), attacked()]
    page(tmp_path / "page.html", compared)
    async with browsing(tmp_path / "page.html") as tab:
        assert await tab.value("document.title") == "Replay monday beside the original"
        assert await tab.value("document.scripts.length + document.images.length") == 0
        assert tab.asked == [(tmp_path / "page.html").as_uri()]

        differ = [one.outcome for one in compared if one.outcome not in {"equal", "both_failed"}]
        assert (await tab.value(VISIBLE)).split() == differ
        order = 'document.querySelectorAll("article")[1]'
        for tag, word in (("del", "Friday"), ("ins", "Thursday")):
            assert await tab.value(f"{order}.querySelector('{tag}').innerText") == word

        # The table is the first stop, then the filter.
        for key in ("Tab", "Tab", "ArrowRight"):
            await tab.press(key)
        assert await tab.value("document.activeElement.id") == "show-changed"
        assert set((await tab.value(VISIBLE)).split()) == {"changed"}
        await tab.press("ArrowLeft")
        await tab.press("ArrowLeft")
        assert await tab.value("document.activeElement.id") == "show-all"
        assert (await tab.value(VISIBLE)).split() == [one.outcome for one in compared]

        ground = "getComputedStyle(document.body).backgroundColor"
        grounds = set()
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            await tab.call("Emulation.setEmulatedMedia", features=features)
            grounds.add(await tab.value(ground))
        assert len(grounds) == 2

        await tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=340,
            height=700,
            deviceScaleFactor=1,
            mobile=True,
        )
        assert await tab.value("document.documentElement.scrollWidth") == 340
