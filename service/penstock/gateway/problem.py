"""What is somebody told whose request cannot be served? Problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from penstock.errors import PenstockError

MEDIA_TYPE = "application/problem+json"


class ProblemError(PenstockError):
    """A request that cannot be served.

    Args:
        status: the HTTP status.
        code: a stable word for machines.
        detail: one sentence for people, with what to do.
        headers: of the response, such as `Retry-After`.
        more: members of the document beside these.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    @property
    def document(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.more,
        }


def away(detail: str, **more: Any) -> ProblemError:
    """Kafka does not answer."""
    return ProblemError(503, "kafka_away", detail, headers={"Retry-After": "5"}, **more)
