"""What do OpenTelemetry's own variables say of traces? They are read here, and by its SDK."""

from penstock.settings import sources

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DISABLED = "OTEL_SDK_DISABLED"
_EXPORTER = "OTEL_TRACES_EXPORTER"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON_SPANS = {"true", "span_only", "span_and_event"}


def endpoint() -> str | None:
    """Of which they are to be sent to; None: they are not."""
    if _said(_DISABLED) == "true" or _said(_EXPORTER) == "none":
        return None
    environment = sources.environment()
    return next((found for name in _ENDPOINTS if (found := environment.get(name))), None)


def tells_content() -> bool:
    """Whether prompts and answers are part of them."""
    return _said(_CONTENT) in _ON_SPANS


def _said(name: str) -> str:
    return (sources.environment().get(name) or "").strip().lower()
