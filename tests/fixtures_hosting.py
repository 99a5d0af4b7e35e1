"""A small model server as a process, in the images' place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import fixtures_house
from fixtures_house import exit_code
from kennel.local.work import Work

SERVER = r"""
import http.server, json, os, signal, socket, sys, threading, time
from pathlib import Path

mode, root = os.environ.get("MODE", ""), Path(os.environ["ROOT"])
print("serving", os.environ.get("ANSWER", ""), flush=True)
if mode == "exit" or (mode == "once" and (root / "../marker").exists()):
    sys.exit("cannot load the model")
(root / "../marker").touch()
time.sleep(float(os.environ.get("START_S", 0)))

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    silent, seen = False, 0

    def do_GET(self):
        self.say(500 if mode == "sick" or Handler.silent else 200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Handler.seen += 1
        if mode == "strange" and body.startswith(b"\x89PNG"):
            return self.say(500, b"what is this?")
        time.sleep(float(os.environ.get("SLEEP_S", 0)))
        if body == b"die":
            os._exit(9)
        if body == b"silence":
            Handler.silent = True
        if body.startswith(b"sleep "):
            time.sleep(float(body[6:]))
        if body.startswith(b"status "):
            return self.say(int(body[7:]), b'{"error": "no picture"}')
        told = {"answer": os.environ.get("ANSWER"), "pid": os.getpid(), "seen": Handler.seen,
                "headers": dict(self.headers),
                "model": sorted(str(p.relative_to(root / "model")) for p in (root / "model").rglob("*"))}
        self.say(200, json.dumps(told).encode())

    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "seen")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size, daemon_threads = 256, True

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Process:
    """Implements work.Running."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, work: Work) -> None:
        self.process, self.work = process, work
        self.address = f"http://127.0.0.1:{port}"

    def exit_code(self) -> int | None:
        return exit_code(self.process)

    def out_of_memory(self) -> bool:
        return False

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Processes(fixtures_house.Processes[Process]):
    """Implements work.Runner and work.Runners: the small server, whatever the image."""

    def hosts(self, count: int) -> list[str]:
        return ["127.0.0.1"]

    def start(self, work: Work) -> Process:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {**os.environ, **work.environment, "PORT": str(port), "ROOT": str(work.root)}
        with work.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", SERVER], env=environment, stdout=log, stderr=log, cwd=work.root
            )
        self.started.append(Process(process, port, work))
        return self.started[-1]
