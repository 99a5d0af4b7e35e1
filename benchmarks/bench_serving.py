"""A request through the running server: ours beside the stock way, on the same machine, in one run.

Both are the same multi-model-server with as many workers as cores; only the handler differs (`stock_handler.py`:
torch eager float32, Pillow, torchvision's transforms).
Servers take turns, so that a drift of the machine's speed meets all of them.

    python benchmarks/bench_serving.py --artifact demo [--rounds 5] [--seconds 4]
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import statistics
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

from kennel import artifact
from kennel.machine import cores
from kennel.pictures.drawings import BREEDS, draw
from kennel.serving import server
from kennel.serving.settings import ServerSettings

SIZES = {"small 500×375": (500, 375), "12 megapixels 4000×3000": (4000, 3000)}
CLIENTS = (1, 8)
HERE = Path(__file__).parent


@dataclass
class Figures:
    """Of one way, one size and one number of clients, over all rounds."""

    milliseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        return sorted(self.milliseconds)[min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))]


def photograph(size: tuple[int, int]) -> bytes:
    """A JPEG of a drawn dog with noise, as large as a photograph of that size."""
    picture = draw(BREEDS[3], 1, (800, 600)).resize(size, Image.Resampling.BICUBIC)
    noise = Image.effect_noise(size, 24).convert("RGB")
    file = io.BytesIO()
    Image.blend(picture, noise, 0.12).save(file, "JPEG", quality=88)
    return file.getvalue()


def load(port: int, body: bytes, clients: int, seconds: float, figures: Figures) -> None:
    """Closed loop: each client sends its next request when the last one is answered."""
    until = time.monotonic() + seconds
    counts = [0] * clients

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.monotonic() < until:
            started = time.monotonic()
            connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"a request was answered {response.status}")
            figures.milliseconds.append((time.monotonic() - started) * 1000)
            counts[number] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures.rates.append(sum(counts) / (time.monotonic() - began))


def memory(pid: int) -> float:
    """Megabytes of a server and its workers, shared pages counted once (PSS)."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(each.memory_full_info().pss for each in family)) / 1e6


def ways_of(settings: ServerSettings) -> dict[str, ServerSettings]:
    """Name → settings; as many workers as cores, one thread each, which is multi-model-server's own default."""
    ours = replace(settings, workers=cores())
    return {"stock": replace(ours, handler="stock_handler"), "ours": ours}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--artifact", type=Path, default=Path("demo"))
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=4.0)
    given = arguments.parse_args()
    settings = ServerSettings(artifact.find(given.artifact))
    os.environ["PYTHONPATH"] = str(HERE)
    ways = ways_of(settings)
    bodies = {name: photograph(size) for name, size in SIZES.items()}
    found = {(way, name, clients): Figures() for way in ways for name in SIZES for clients in CLIENTS}
    for _ in range(given.rounds):
        for way, chosen in ways.items():
            port = server.free_port(18500)
            with server.running(replace(chosen, port=port)) as (process, _):
                load(port, bodies["small 500×375"], cores(), 2, Figures())
                for name, body in bodies.items():
                    for clients in CLIENTS:
                        load(port, body, clients, given.seconds, found[way, name, clients])
                        found[way, name, clients].megabytes.append(memory(process.pid))
    show(found, ways, bodies, given.rounds)


def show(
    found: dict[tuple[str, str, int], Figures], ways: Iterable[str], bodies: dict[str, bytes], rounds: int
) -> None:
    table = Table("photograph", "clients", "way", "p50 ms", "p99 ms", "pictures/s", "× stock", "memory MB", "n")
    for name, body in bodies.items():
        for clients in CLIENTS:
            stock = statistics.median(found["stock", name, clients].rates)
            for way in ways:
                each = found[way, name, clients]
                rate = statistics.median(each.rates)
                row = (f"{each.quantile(0.5):.1f}", f"{each.quantile(0.99):.1f}", f"{rate:.1f}", f"{rate / stock:.2f}")
                weight = f"{statistics.median(each.megabytes):.0f}"
                label = f"{name}, {len(body) / 1000:.0f} kB"
                table.add_row(label, str(clients), way, *row, weight, str(len(each.milliseconds)))
    Console(width=140).print(table)
    print(f"{cores()} cores; medians of {rounds} rounds")


if __name__ == "__main__":
    main()
