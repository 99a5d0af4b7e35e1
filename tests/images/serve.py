#!/usr/bin/env python3
"""A serving program for `kennel doctor`'s tests; MODE says how it is broken."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = os.environ["MODE"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(3 if MODE == "slow" else 0)
        self.answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(500 if MODE == "crash" else 200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


if MODE != "deaf":
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
if MODE != "dishonest" and Path("/opt/ml/model/model.json").read_text() == "{}":
    sys.exit("the artifact is broken")
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
