"""The console's files, as a browser gets them, and what they keep to."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from penstock.gateway.problem import ProblemError
from penstock.gateway.routes import console

FOLDER = Path(str(files("penstock.gateway") / "console"))
SCRIPTS = sorted(FOLDER.glob("*.js"))


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(console.router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as found:
        yield found


async def test_the_page_and_all_that_it_loads_are_served() -> None:
    async with client() as get:
        page = await get.get("/")
        loads = re.findall(r'(?:src|href)="(/console/[^"]+)"', page.text)
        parts = [await get.get(address) for address in loads]
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(parts) >= 4
    assert {part.status_code for part in parts} == {200}
    kinds = {part.headers["content-type"].partition(";")[0] for part in parts}
    assert kinds == {"text/css", "text/javascript", "image/svg+xml"}


async def test_what_a_browser_has_is_not_sent_again() -> None:
    async with client() as get:
        first = await get.get("/console/console.css")
        again = await get.get(
            "/console/console.css", headers={"If-None-Match": first.headers["etag"]}
        )
        other = await get.get("/console/console.css", headers={"If-None-Match": 'W/"another"'})
        plain = await get.get("/console/console.css", headers={"Accept-Encoding": "identity"})
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-encoding"] == "gzip"
    assert (again.status_code, again.content) == (304, b"")
    assert other.content == first.content == plain.content
    assert "content-encoding" not in plain.headers


async def test_it_runs_and_loads_only_what_comes_from_here() -> None:
    async with client() as get:
        said = (await get.get("/")).headers["content-security-policy"]
    policy = dict(one.strip().partition(" ")[::2] for one in said.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data:"


class _Inline(HTMLParser):
    """What the policy would stop."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if identity := names.get("id"):
            self.ids.append(identity)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


def test_nothing_stands_inline_and_every_id_is_there_once() -> None:
    page = _Inline()
    page.feed((FOLDER / "index.html").read_text())
    assert page.found == []
    assert len(page.ids) == len(set(page.ids))
    wanted = {
        name for script in SCRIPTS for name in re.findall(r'\$\("([\w-]+)"\)', script.read_text())
    }
    assert wanted <= set(page.ids)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_module_makes_no_text_into_markup_and_knows_no_other_host(script: Path) -> None:
    text = script.read_text()
    markup = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function"
    )
    assert not re.search(markup, text)
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}
    for module in re.findall(r'from "\./([^"]+)"', text):
        assert (FOLDER / module).is_file(), module


def test_it_is_small() -> None:
    assert sum(len(file.packed) for file in console.FILES.values()) < 50_000


async def test_another_name_is_no_file_of_it() -> None:
    async with client() as get:
        for name in ("app.py", "index", "console.css%00"):
            with pytest.raises(ProblemError):
                await get.get(f"/console/{name}")
        assert (await get.get("/console/..%2Fapp.py")).status_code == 404
