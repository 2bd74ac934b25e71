"""Stands in for a worker, and is there at once: what it does stands in its arguments.

`python -m tests.support.stand_in [WORD ...] --worker ...`, each word `<number>:<what>` for the
worker of that number, or `<number>.<n>:<what>` for the n-th process in its place, from 0 on. It
does one after the other:

slow     takes a while, as an import does
go       waits until it may begin
serve    says that it serves, and answers what it is asked over HTTP
dumb     says so, and answers nothing
end=4    ends with this code
killed   is killed
mutter   logs a line that has no end; mutter=9: nine times as much
wait     waits for a signal that kills it
drain    waits until it is asked to, and ends
deaf     waits until it is asked to, says "deaf", and does not end
"""

import http.server
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from penstock.workers.place import DRAIN, GO, OPTION, SERVING, Place, place


class _Probes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        counted = b"# TYPE penstock_attempts counter\npenstock_attempts_total 7\n# EOF\n"
        body = counted if self.path == "/metrics" else b"ok"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It logs nothing."""


class StandIn:
    """At this place. What it can do is named as in its arguments."""

    def __init__(self, there: Place) -> None:
        self._line = socket.socket(fileno=there.line)
        self._heard = self._line.makefile("rb")
        self._listener = there.listener

    def slow(self) -> None:
        time.sleep(0.3)

    def go(self) -> None:
        assert self._heard.readline() == GO

    def serve(self) -> None:
        server = http.server.HTTPServer(("", 0), _Probes, bind_and_activate=False)
        server.socket = socket.socket(fileno=self._listener)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.dumb()

    def dumb(self) -> None:
        self._line.sendall(SERVING)

    def mutter(self, times: str = "1") -> None:
        print("and then" * int(times), end="", file=sys.stderr, flush=True)

    def end(self, code: str = "0") -> None:
        os._exit(int(code))

    def killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(self) -> None:
        signal.pause()

    def drain(self) -> None:
        assert self._heard.readline() == DRAIN
        self.end()

    def deaf(self) -> None:
        assert self._heard.readline() == DRAIN
        print("deaf", file=sys.stderr, flush=True)
        self.wait()


def main(words: list[str], there: Place) -> None:
    starts = Path(f"starts-{there.number}")
    before = starts.stat().st_size if starts.exists() else 0
    starts.write_bytes(b"." * (before + 1))
    stand_in = StandIn(there)
    for word in words:
        whose, _, what = word.partition(":")
        if whose in {f"{there.number}", f"{there.number}.{before}"}:
            name, *value = what.split("=")
            getattr(stand_in, name)(*value)


if __name__ == "__main__":
    *words, option, said = sys.argv[1:]
    assert option == OPTION
    main(words, place(said))
