"""What the span of a request says."""

from penstock.telemetry.tracing import exporting
from tests.support.doors import doors
from tests.support.tracing import Spans, attributes, spans

__all__ = ["spans"]


async def test_no_secret_that_an_address_shows_is_part_of_it(spans: Spans) -> None:
    sends = exporting.Exporting("penstock", "here")
    async with doors() as there:
        refused = await there.client.post("/ask?access_token=hunter2", json={})
    await sends.stop()

    assert refused.status_code == 400
    said = attributes(spans.one("POST"))
    assert said["url.path"] == "/ask"
    assert "hunter2" not in str(said)
