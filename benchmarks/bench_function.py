"""What the function adds to the endpoint: starting, cold and warm, with and without provisioned concurrency.

First imports alone, each in a fresh process, by the CPU time that they take. Then the function on a local AWS, by
Lambda's own call, before an endpoint that answers at once: so it is all the function's, Lambda's and the client's time.
Cold starts are forced: each is the first request of a version that was just published.

    python benchmarks/bench_function.py [--starts 15] [--requests 300] [--imports 20]
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kennel.cloud import function
from kennel.cloud.function_requests import ALIAS, FunctionPlan, invoke_request, plan_of
from kennel.cloud.iam.apply import ensure
from kennel.cloud.package import package
from kennel.cloud.session import Cloud, connect
from kennel.local.background import start_in_background, stop
from kennel.machine import cores
from kennel.pictures.drawings import BREEDS, draw
from kennel.settings import parse

LAMBDA = Path(__file__).parents[1] / "lambda"
ANSWER = json.dumps({"predictions": [{"breed": "Beagle", "label": "016.Beagle", "probability": 1.0}]}).encode()
ROW = dict[str, list[float]]
WAYS = {
    "Python alone": "pass",
    "boto3's client": "import boto3; boto3.client('sagemaker-runtime')",
    "botocore's client": "import botocore.session as s; s.get_session().create_client('sagemaker-runtime')",
    "the function, ready": f"import sys; sys.path.insert(0, {str(LAMBDA)!r}); import function",
}
GIVEN = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    "ENDPOINT_NAME": "kennel", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
}  # fmt: skip


def imports(rounds: int) -> ROW:
    """Milliseconds of CPU time of a fresh process, the ways in turn."""
    found: ROW = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way, code in WAYS.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], env=os.environ | GIVEN, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found[way].append(took * 1000)
    return {way: taken[1:] for way, taken in found.items()}  # the first round fills the disk's cache


@contextmanager
def endpoint() -> Iterator[str]:
    """One that answers at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def picture() -> bytes:
    file = io.BytesIO()
    draw(BREEDS[3], 1, (500, 375)).save(file, "JPEG", quality=88)
    return file.getvalue()


class Bench:
    """One function on one local AWS. Every figure is what the client waits, in milliseconds."""

    def __init__(self, cloud: Cloud, plan: FunctionPlan) -> None:
        self._cloud, self._plan, self._published = cloud, plan, 0
        self._payload = json.dumps({"image": base64.b64encode(picture()).decode()}).encode()

    def first(self, provisioned: int, starts: int) -> tuple[list[float], list[float]]:
        """The first requests of newly published versions; and what the function itself says that they took."""
        found: list[float] = []
        own: list[float] = []
        for _ in range(starts):
            self._published += 1
            environment = {**self._plan.environment, "PUBLISHED": str(self._published)}
            plan = replace(self._plan, provisioned=provisioned, environment=environment)
            function.deploy(self._cloud, plan, lambda text: None)
            self._ask(found, own)
        return found, own

    def warm(self, requests: int) -> tuple[list[float], list[float]]:
        found: list[float] = []
        own: list[float] = []
        for _ in range(requests):
            self._ask(found, own)
        return found, own

    def _ask(self, found: list[float], own: list[float]) -> None:
        client, request = self._cloud.client("lambda"), invoke_request(self._plan.name, self._payload)
        began = time.monotonic()
        answer = json.loads(client.invoke(**request)["Payload"].read())
        found.append((time.monotonic() - began) * 1000)
        if answer["statusCode"] != 200:
            raise SystemExit(f"{ALIAS} answered {answer}")
        timing = dict(each.split(";dur=") for each in answer["headers"]["Server-Timing"].split(", "))
        own.append(float(timing["function"]) - float(timing["endpoint"]))


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(values: list[float]) -> tuple[str, str, str]:
    return str(len(values)), f"{statistics.median(values):.1f}", f"{quantile(values, 0.99):.1f}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--starts", type=int, default=15)
    arguments.add_argument("--requests", type=int, default=300)
    arguments.add_argument("--imports", type=int, default=20)
    given = arguments.parse_args()
    table = Table("what", "n", "p50 ms", "p99 ms")
    for way, taken in imports(given.imports).items():
        table.add_row(f"fresh process, CPU time: {way}", *row(taken))
    table.add_section()
    with tempfile.TemporaryDirectory() as folder, endpoint() as url:
        home = Path(folder) / "home"
        found = start_in_background(home, 0, "us-east-1", "process")
        try:
            keys = (found.access_key_id, found.secret_access_key)
            cloud = connect("local", parse({}), found.url, keys)
            role = ensure(cloud, "function")
            plan = plan_of(cloud.settings, role, package())
            environment = {**plan.environment, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
            bench = Bench(cloud, replace(plan, environment=environment))
            for title, provisioned in (("on demand", 0), ("provisioned concurrency 3", 3)):
                waited, own = bench.first(provisioned, given.starts)
                table.add_row(f"first request, {title}", *row(waited))
                table.add_row("  of which in the function, without the endpoint", *row(own))
            waited, own = bench.warm(given.requests)
            table.add_row("warm request", *row(waited))
            table.add_row("  of which in the function, without the endpoint", *row(own))
        finally:
            stop(home)
    Console(width=120).print(table)
    print(f"{cores()} cores, Python {sys.version.split()[0]}; the picture is a JPEG of {len(picture()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
