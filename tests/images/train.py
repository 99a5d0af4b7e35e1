#!/usr/bin/env python3
"""A training program for `kennel doctor`'s tests; MODE says how it is broken."""

import json
import os
import signal
import sys
import time
from pathlib import Path

MODE, ROOT = os.environ["MODE"], Path("/opt/ml")


def main() -> None:
    if MODE != "deaf":
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    print("begun", flush=True)
    if json.loads((ROOT / "input/config/hyperparameters.json").read_text()):
        if MODE != "silent":
            (ROOT / "output/failure").write_text("an unknown hyperparameter")
        sys.exit(0 if MODE == "liar" else 1)
    time.sleep(6)
    if MODE == "crash":
        sys.exit("no luck")
    if MODE != "empty":
        (ROOT / "model/model.json").write_text("{}")


main()
