"""Stands in for a worker, and is there at once: what it does stands in its arguments.

`python -m tests.support.stand_in [WORD ...] --worker ...`, each word `<number>:<what>` for the
worker of that number, or `<number>.<n>:<what>` for the n-th process in its place, from 0 on. It
does one after the other:

go       waits until it may begin
serve    says that it serves, and answers what it is asked over HTTP
dumb     says so, and answers nothing
end=4    ends with this code
killed   is killed
mutter   logs a line that has no end
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
from pathlib import Path
from typing import BinaryIO

from penstock.workers.place import DRAIN, GO, OPTION, SERVING, place


class _Probes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        counted = b"# TYPE penstock_attempts counter\npenstock_attempts_total 7\n# EOF\n"
        body = counted if self.path == "/metrics" else b"ok"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It logs nothing."""


def main(words: list[str], said: str) -> None:
    there = place(said)
    line = socket.socket(fileno=there.line)
    heard = line.makefile("rb")
    starts = Path(f"starts-{there.number}")
    before = starts.stat().st_size if starts.exists() else 0
    starts.write_bytes(b"." * (before + 1))
    for word in words:
        whose, _, what = word.partition(":")
        if whose in {f"{there.number}", f"{there.number}.{before}"}:
            act(what, line, heard, there.listener)


def act(what: str, line: socket.socket, heard: BinaryIO, listener: int) -> None:
    what, _, code = what.partition("=")
    match what:
        case "go":
            assert heard.readline() == GO
        case "serve":
            server = http.server.HTTPServer(("", 0), _Probes, bind_and_activate=False)
            server.socket = socket.socket(fileno=listener)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            line.sendall(SERVING)
        case "dumb":
            line.sendall(SERVING)
        case "end":
            os._exit(int(code))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "mutter":
            print("and then", end="", file=sys.stderr, flush=True)
        case "wait":
            signal.pause()
        case "drain":
            assert heard.readline() == DRAIN
            os._exit(0)
        case "deaf":
            assert heard.readline() == DRAIN
            print("deaf", file=sys.stderr, flush=True)
            signal.pause()
        case _:
            raise ValueError(what)


if __name__ == "__main__":
    *words, option, said = sys.argv[1:]
    assert option == OPTION
    main(words, said)
