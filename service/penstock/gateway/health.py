"""Does a gateway live, and may it be asked?"""

from penstock.gateway.parts import Parts


def live(parts: Parts) -> str | None:
    """Why only a restart helps; None: it would not."""
    failed = parts.questions.fan_out.failed
    return str(failed.exception()) if failed.done() else None


def away(parts: Parts) -> str | None:
    """Why it cannot serve now, while it lives and does not stop."""
    return "Kafka does not answer" if parts.questions.fan_out.away else None


def ready(parts: Parts) -> str | None:
    """Why nobody should be sent here."""
    return live(parts) or ("stopping" if parts.stopping.done() else away(parts))
