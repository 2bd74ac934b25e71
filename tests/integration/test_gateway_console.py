"""The console in a real browser, in front of a real Kafka and a real service."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import (
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    async_playwright,
    expect,
)

from penstock.gateway.server import Serving
from penstock.local.prompt import ChatRequest
from tests.support.browser import browser
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service

HOSTILE = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>'
PROGRAMS = {"qa": {"entry": "question -> answer, reasoning"}}

# Of a machine that has other things to do; the test's own limit ends what never comes.
expect.set_options(timeout=20_000)


@dataclass
class Seen:
    """What a page has asked for, and what it complained of."""

    asked: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def wanted(self, request: Request) -> None:
        self.asked.append(request)


@asynccontextmanager
async def looking(gateway: Serving, **context: Any) -> AsyncIterator[tuple[Page, Seen]]:
    """At the console, until the block ends."""
    chromium = browser()
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await (await opened.new_context(**context)).new_page()
        seen = Seen()
        page.on("request", seen.wanted)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("console", seen.said)
        await page.goto(gateway.address)
        await expect(page.locator("#connection")).to_have_text("live")
        try:
            yield page, seen
        finally:
            await opened.close()


@dataclass
class Provider:
    """A model that fails a question of doom until it is mended, and takes its time with others."""

    mended: bool = False

    def __call__(self, _: int, request: ChatRequest) -> str:
        question = request.last("user")
        if "doom" in question and not self.mended:
            return "400"
        return "held?token_ms=20&tokens=2000" if "slowly" in question else "ok"


@dataclass
class Place:
    """A service, and the model behind it; gateways come and go."""

    servers: str
    topics: Topics
    models: ModelServer

    def gateway(self, **ours: Any) -> AbstractAsyncContextManager[Serving]:
        """`ours`: of its settings."""
        return running_gateway(self.servers, self.topics, programs=PROGRAMS, gateway=ours)


@asynccontextmanager
async def served(
    bootstrap_servers: str, topics: Topics, provider: Provider
) -> AsyncIterator[Place]:
    async with model_server() as models:
        models.script["console"] = provider
        flags: dict[str, Any] = {"programs": PROGRAMS}
        model, api_base = "openai/console", models.api_base
        async with running_service(bootstrap_servers, topics, model, api_base, **flags):
            yield Place(bootstrap_servers, topics, models)


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("question", exact=True).fill(question)
    await page.keyboard.press("Control+Enter")


async def operate(page: Page, gateway: Serving) -> None:
    """As whoever reads the gateway's log."""
    token = gateway.parts.access.operator_token
    assert token is not None
    await show(page, token)


async def show(page: Page, token: str) -> None:
    await page.get_by_role("textbox", name="Token").fill(token)
    await page.get_by_role("button", name="Use it").click()


@pytest.mark.time_limit(120)
async def test_a_night_at_the_console(bootstrap_servers: str, topics: Topics) -> None:
    provider = Provider()
    async with (
        served(bootstrap_servers, topics, provider) as place,
        place.gateway() as first,
        looking(first) as (page, seen),
    ):
        await expect(page.get_by_text("Nobody has asked yet")).to_be_visible()
        await _reloads_in_the_middle(page)
        assert seen.complaints == []
        said = await _goes_away(page, first)
        async with place.gateway(port=urlsplit(first.address).port) as second:
            await _comes_back(page, seen, said, place.models)
            # Chromium tells of every connection that it could not make.
            assert all("ERR_" in complaint for complaint in seen.complaints)
            seen.complaints.clear()
            await _cancels(page)
            await _redrives(page, seen, second, provider)
            await _pauses(page)
            assert seen.complaints == []
            assert await page.evaluate("window.hacked") is None
            assert await page.evaluate("localStorage.length") == 0
            token = second.parts.access.operator_token
        assert token is not None
        addresses = {request.url for request in seen.asked}
        assert all(address.startswith(f"{first.address}/") for address in addresses)
        assert not any(token in address for address in addresses)


def _newest(page: Page) -> Locator:
    """Of the questions that are followed."""
    return page.locator("#followed article").first


def _answer(page: Page) -> Locator:
    return _newest(page).locator(".said section:not(.aside) p")


async def _said(page: Page) -> str:
    return await _answer(page).text_content() or ""


async def _reloads_in_the_middle(page: Page) -> None:
    """What was said so far is there again."""
    await ask(page, f"Tell me slowly: {HOSTILE}")
    await expect(_answer(page)).to_contain_text(HOSTILE)
    await expect(_newest(page).locator(".state")).to_have_text("running")
    so_far = await _said(page)
    await page.reload()
    await expect(_answer(page)).to_contain_text(so_far)


async def _goes_away(page: Page, gateway: Serving) -> str:
    """In the middle of an answer. Gives what was said of it by then."""
    gateway.stop()
    await gateway.stopped()
    await expect(page.locator("#headlines")).to_contain_text("The gateway does not answer.")
    await expect(page.locator("#connection")).to_have_text("away")
    await expect(_newest(page).locator(".said")).to_have_attribute("aria-busy", "true")
    return await _said(page)


async def _comes_back(page: Page, seen: Seen, said: str, models: ModelServer) -> None:
    """Another one goes on where the first was; then it is all said."""
    await expect(page.locator("#connection")).to_have_text("live")
    await expect(page.locator("#headlines p")).to_have_count(0)
    card = _newest(page)
    await expect(_answer(page)).not_to_have_text(said)
    more = await _said(page)
    resumed = [request for request in seen.asked if "last-event-id" in request.headers]
    assert {urlsplit(request.url).path.endswith("/events") for request in resumed} == {True}
    models.let_end()
    await expect(card.locator(".state")).to_have_text("completed")
    # As the completion has it: nothing of what was streamed is missing or there twice.
    whole = await _said(page)
    assert whole.startswith(more)
    assert more.startswith(said)
    assert len(said) < len(more) < len(whole)
    await expect(card.locator(".said .aside h3")).to_contain_text("reasoning")
    await expect(card.locator(".figures")).to_contain_text("tokens in")
    row = page.locator("#questions tbody tr")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("completed")
    # What it said is text, and nothing else.
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("main img, main script").count() == 0


async def _cancels(page: Page) -> None:
    await ask(page, "Tell me slowly why")
    card = _newest(page)
    await expect(card.locator(".state")).to_have_text("running")
    await card.get_by_role("button", name="Cancel").click()
    await expect(card.locator(".state")).to_have_text("cancelled")
    await expect(page.locator("#followed article")).to_have_count(2)


async def _redrives(page: Page, seen: Seen, gateway: Serving, provider: Provider) -> None:
    """What has failed, once it is mended what was wrong."""
    await ask(page, "What is the day of doom?")
    card = _newest(page)
    await expect(card.locator(".state")).to_have_text("failed")
    await card.get_by_role("link", name="See the dead letters").click()
    await expect(page.locator("#letters-said")).to_contain_text("operator's token")
    await page.get_by_role("button", name="Enter a token").click()
    # What is no operator's is told from none at all.
    async with page.expect_response("**/v1/dead-letters*"):
        await show(page, "something else")
    await page.get_by_role("button", name="Enter a token").click()
    await expect(page.locator("#token-title")).to_have_text("This is no operator's token")
    await operate(page, gateway)
    await page.locator("#letters tbody a").click()
    seen.complaints.clear()
    letter = page.locator("#letter")
    await expect(letter.locator("pre").first).to_contain_text("What is the day of doom?")
    provider.mended = True
    await letter.get_by_role("button", name="Redrive…").click()
    await page.get_by_role("button", name="Redrive it").click()
    await letter.get_by_role("button", name="Follow it").click()
    await expect(card.locator(".state")).to_have_text("completed")


async def _pauses(page: Page) -> None:
    """A partition, and lets it go on."""
    await page.get_by_role("link", name="Service").click()
    partition = page.locator('[data-partition="1"]')
    await partition.get_by_role("button", name="Pause partition 1").click()
    await page.get_by_label("Reason").fill(HOSTILE)
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(partition.locator(".state")).to_have_text("paused")
    headline = page.locator("#headlines p")
    await expect(headline).to_contain_text(f"partition 1: {HOSTILE}")
    await headline.get_by_role("button", name="Resume").click()
    await expect(headline).to_have_count(0)
    await expect(partition.locator(".state")).to_have_text("fetched")


async def test_what_a_replay_has_changed_is_seen_word_by_word(
    bootstrap_servers: str, topics: Topics
) -> None:
    """And where a token is wanted, it is asked for. What the gateway would say of both is said
    here: whether it does, its own tests know.
    """
    before = "The sky is blue because short waves scatter more."
    after = f"The sky is red because short waves scatter more. {HOSTILE}"

    async def guarded(route: Route) -> None:
        if route.request.headers.get("authorization") != "Bearer good":
            problem = {"status": 401, "code": "no_token", "detail": "this needs a token"}
            await route.fulfill(
                status=401, body=json.dumps(problem), content_type="application/problem+json"
            )
        elif "/v1/replays" in route.request.url:
            body = _comparison(before, after) if "compare" in route.request.url else _REPLAYS
            await route.fulfill(body=json.dumps(body), content_type="application/json")
        else:
            named = route.request.headers.items()
            bare = {name: value for name, value in named if name != "authorization"}
            await route.continue_(headers=bare)

    async with (
        served(bootstrap_servers, topics, Provider()) as place,
        place.gateway() as gateway,
        looking(gateway, viewport={"width": 340, "height": 740}) as (page, _),
    ):
        await page.route(re.compile("/v1/"), guarded)
        await page.reload()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("The gateway asks for a token")
        await page.locator("#token-value").fill("bad")
        await page.keyboard.press("Enter")
        await expect(dialog).to_contain_text("This token is not known")
        await page.locator("#token-value").fill("good")
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(page.locator("#connection")).to_have_text("live")
        await _takes_turns(page, gateway)
        place.models.let_end()
        await _asks_once(page)

        # Whatever somebody has written into the address.
        await page.goto(f"{gateway.address}/#replays/%")
        await page.reload()
        await expect(page.locator("#connection")).to_have_text("live")

        await page.get_by_role("link", name="Replays").click()
        await page.get_by_role("link", name="monday").click()
        changed = page.locator("article.changed")
        await expect(changed.locator("del")).to_have_text(["blue"])
        await expect(changed.locator("ins")).to_have_text(["red", f" {HOSTILE}"])
        assert await page.evaluate("window.hacked") is None

        # It fits into a narrow window, whatever is shown.
        for name in ("Questions", "Service", "Dead letters", "Replays"):
            await page.get_by_role("link", name=name).click()
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide == 340, name

        async with place.gateway(console=False) as bare, httpx.AsyncClient() as client:
            for path in ("/", "/console/main.js"):
                assert (await client.get(f"{bare.address}{path}")).status_code == 404


async def _takes_turns(page: Page, gateway: Serving) -> None:
    """Three are read at once, whoever of those that wait has left."""
    ids = [f"turn-{number}" for number in range(8)]
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        for name in ids:
            asked = {"id": name, "question": "Tell me slowly"}
            await client.post("/v1/questions", json=asked)
    await page.goto(f"{gateway.address}/#questions/{','.join(ids)}")
    cards, waiting = page.locator("#followed article"), page.get_by_text("It is read when one")
    for which, left in ((cards.last, 5), (cards.last, 4), (cards.first, 3)):
        await expect(waiting).to_have_count(left)
        await which.get_by_role("button", name="Close").click()
    await expect(waiting).to_have_count(2)
    await expect(cards).to_have_count(5)


async def _asks_once(page: Page) -> None:
    """Also when it is sent again by hand."""
    keys = []

    async def refused(route: Route) -> None:
        if route.request.method != "POST":
            await route.fallback()
            return
        keys.append(route.request.headers["idempotency-key"])
        problem = {"status": 429, "code": "backlog", "detail": "later"}
        await route.fulfill(status=429, body=json.dumps(problem))

    await page.route(re.compile("/v1/questions$"), refused)
    for question in ("Why?", "Why?", "How?"):
        await ask(page, question)
        await expect(page.locator("#ask-said")).to_contain_text("Too much is asked")
        await page.locator("#ask-said").evaluate("node => { node.textContent = ''; }")
    assert [keys.index(key) for key in keys] == [0, 0, 2]


_REPLAYS = {
    "replays": [
        {
            "id": "monday",
            "created_at": 1_795_434_000_000,
            "questions": "penstock.questions",
            "completions": "penstock.replay-completions",
            "program": None,
            "model": "openai/small",
            "total": 1,
            "progress": {"done": 1, "over": True},
        }
    ]
}


def _comparison(before: str, after: str) -> dict[str, Any]:
    spread = {"p50": 812.0, "p90": 1300.0, "mean": 900.0}
    both = {"questions": 1, "original": spread, "replay": spread}
    tokens = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    answers = [
        {"status": "completed", "outputs": {"answer": text}, "error": None}
        for text in (before, after)
    ]
    outcomes = {"changed": 1, "newly_failed": 0, "newly_fixed": 0, "both_failed": 0, "equal": 0}
    return {
        "summary": {
            "type": "summary",
            "replay": "monday",
            "questions": 1,
            "outcomes": {**outcomes, "original_unanswered": 0},
            "not_replayed": 0,
            "programs": {"original": {"qa openai/large": 1}, "replay": {"qa openai/small": 1}},
            "duration_ms": both,
            "first_token_ms": both,
            "usage": {"questions": 1, "original": tokens, "replay": tokens, "ratio": {}},
        },
        "questions": [
            {
                "type": "question",
                "outcome": "changed",
                "question_id": "q-1",
                "partition": 0,
                "offset": 3,
                "fields": ["answer"],
                "scores": None,
                "inputs": {"question": "Why is the sky blue?"},
                "original": answers[0],
                "replay": answers[1],
            }
        ],
        "more": 0,
        "cut_off": None,
    }
