"""How long does a client want to wait, and which types does it take? What its headers say."""

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PREFERENCE = re.compile(
    rf'([^\s=;,"]+)\s*(?:=\s*({_QUOTED}|[^\s;,"]*))?(?:[^,"]|{_QUOTED})*', re.ASCII
)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_QUALITY = re.compile(r";\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)


class Prefer(NamedTuple):
    """`Prefer` (RFC 7240). What it says beside these, or says wrong, is ignored."""

    wait: int | None = None
    """Seconds for which an answer is waited for; None: it does not say so."""
    respond_async: bool = False

    @classmethod
    def read(cls, headers: Iterable[str]) -> Self:
        """Of all headers of this name; what is said first counts."""
        said: dict[str, str] = {}
        for name, value in _PREFERENCE.findall(", ".join(headers)):
            said.setdefault(name.lower(), value.strip('"'))
        wait = said.get("wait", "")
        return cls(int(wait) if _SECONDS.fullmatch(wait) else None, "respond-async" in said)

    def applied(self, *, whole: bool) -> dict[str, str]:
        """As a header of the answer. `whole`: it is there, so that nothing is left for later."""
        done = ["respond-async"] if self.respond_async and not whole else []
        if self.wait is not None:
            done.append(f"wait={self.wait}")
        return {"Preference-Applied": ", ".join(done)} if done else {}


def accepts(accept: str | None, media_type: str) -> bool:
    """Whether who sends this `Accept` (RFC 9110, 12.5.1) takes this type. None takes all."""
    if not (accept and accept.strip()):
        return True
    ranges = {
        name.strip().lower(): not _QUALITY.search(f";{parameters}")
        for name, _, parameters in (one.partition(";") for one in accept.split(","))
    }
    main = media_type.partition("/")[0]
    found = (ranges[name] for name in (media_type, f"{main}/*", "*/*") if name in ranges)
    return next(found, False)
