"""The console in a real browser, in front of a real Kafka and a real service."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

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
        page.on("request", lambda request: seen.asked.append(request))  # noqa: PLW0108 - it sets marks on functions
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
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


@asynccontextmanager
async def console(
    bootstrap_servers: str, topics: Topics, provider: Provider
) -> AsyncIterator[tuple[Serving, ModelServer]]:
    async with model_server() as models:
        models.script["console"] = provider
        model = "openai/console"
        flags: dict[str, Any] = {"programs": PROGRAMS}
        async with (
            running_service(bootstrap_servers, topics, model, models.api_base, **flags),
            running_gateway(bootstrap_servers, topics, **flags) as gateway,
        ):
            yield gateway, models


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("question", exact=True).fill(question)
    await page.keyboard.press("Control+Enter")


async def operate(page: Page, gateway: Serving) -> None:
    """As whoever reads the gateway's log."""
    token = gateway.parts.access.operator_token
    assert token is not None
    await page.get_by_role("textbox", name="Token").fill(token)
    await page.get_by_role("button", name="Use it").click()


@pytest.mark.time_limit(120)
async def test_a_night_at_the_console(bootstrap_servers: str, topics: Topics) -> None:
    provider = Provider()
    async with (
        console(bootstrap_servers, topics, provider) as (gateway, models),
        looking(gateway) as (page, seen),
    ):
        await expect(page.get_by_text("Nobody has asked yet")).to_be_visible()
        await _reloads_in_the_middle(page, models)
        await _cancels(page)
        await _redrives(page, gateway, provider)
        await _pauses(page)
        assert await page.evaluate("window.hacked") is None
        assert seen.complaints == []
        assert {request.url.startswith(f"{gateway.address}/") for request in seen.asked} == {True}
        token = gateway.parts.access.operator_token
        assert token is not None
        assert token not in f"{page.url} {[request.url for request in seen.asked]}"
        assert await page.evaluate("localStorage.length") == 0


def _newest(page: Page) -> Locator:
    """Of the questions that are followed."""
    return page.locator("#followed article").first


async def _reloads_in_the_middle(page: Page, models: ModelServer) -> None:
    """What was said so far is there again, and the rest as it comes."""
    await ask(page, f"Tell me slowly: {HOSTILE}")
    card = _newest(page)
    answer = card.locator(".said section:not(.aside) p")
    await expect(answer).to_contain_text(HOSTILE)
    await expect(card.locator(".state")).to_have_text("running")
    so_far = await answer.text_content()
    assert so_far is not None
    await page.reload()
    await expect(answer).to_contain_text(so_far)
    await expect(card.locator(".said")).to_have_attribute("aria-busy", "true")
    models.let_end()
    await expect(card.locator(".state")).to_have_text("completed")
    whole = await answer.text_content()
    assert whole is not None
    assert whole.startswith(so_far)
    assert len(whole) > len(so_far)
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


async def _redrives(page: Page, gateway: Serving, provider: Provider) -> None:
    """What has failed, once it is mended what was wrong."""
    await ask(page, "What is the day of doom?")
    card = _newest(page)
    await expect(card.locator(".state")).to_have_text("failed")
    await card.get_by_role("link", name="See the dead letters").click()
    await expect(page.locator("#letters-said")).to_contain_text("operator's token")
    await page.get_by_role("button", name="Enter a token").click()
    await operate(page, gateway)
    await page.locator("#letters tbody a").click()
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


async def test_a_replay_is_seen_word_by_word_and_a_gateway_that_is_gone(
    bootstrap_servers: str, topics: Topics
) -> None:
    before = "The sky is blue because short waves scatter more."
    after = f"The sky is red because short waves scatter more. {HOSTILE}"
    async with (
        console(bootstrap_servers, topics, Provider()) as (gateway, _),
        looking(gateway, viewport={"width": 340, "height": 740}) as (page, seen),
    ):

        async def answer(route: Route) -> None:
            body = _comparison(before, after) if "compare" in route.request.url else _REPLAYS
            await route.fulfill(body=json.dumps(body), content_type="application/json")

        await page.route("**/v1/replays**", answer)
        await page.get_by_role("button", name="Token").click()
        await operate(page, gateway)
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
        assert seen.complaints == []

        gateway.stop()
        await gateway.stopped()
        await expect(page.locator("#headlines")).to_contain_text("The gateway does not answer.")
        await expect(page.locator("#connection")).to_have_text("away")


async def test_a_token_is_asked_for_where_one_is_wanted(
    bootstrap_servers: str, topics: Topics
) -> None:
    """Whether it is one of the gateway's, the gateway knows: here anything but `good` is none."""
    async with (
        console(bootstrap_servers, topics, Provider()) as (gateway, _),
        looking(gateway) as (page, _),
    ):

        async def guarded(route: Route) -> None:
            if route.request.headers.get("authorization") == "Bearer good":
                bare = {
                    name: value
                    for name, value in route.request.headers.items()
                    if name != "authorization"
                }
                await route.continue_(headers=bare)
                return
            problem = {"status": 401, "code": "no_token", "detail": "this needs a token"}
            await route.fulfill(
                status=401, body=json.dumps(problem), content_type="application/problem+json"
            )

        await page.route(re.compile("/v1/"), guarded)
        await page.reload()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("The gateway asks for a token")
        for token, says in (("bad", "This token is not known"), ("good", None)):
            await page.get_by_role("textbox", name="Token").fill(token)
            await page.keyboard.press("Enter")
            if says is not None:
                await expect(dialog).to_contain_text(says)
        await expect(dialog).to_have_count(0)
        await expect(page.locator("#connection")).to_have_text("live")


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
