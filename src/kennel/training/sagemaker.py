"""What `train` runs in the training image (`SAGEMAKER_TRAINING_MODULE=kennel.training.sagemaker:main`).

sagemaker-training calls `main` in its own process, so SIGTERM (a stopped job, a spot interruption) comes to us.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from sagemaker_training.errors import ClientError

from kennel.contract import Contract
from kennel.errors import KennelError, Stopped
from kennel.hyperparameters import parse
from kennel.progress import Printer, Progress
from kennel.training.job import Job
from kennel.training.run import train

WEIGHTS = "weights"
"""A channel of this name, if there is one, holds the pretrained weights (jobs without a network need it)."""


def main() -> None:
    """Train under the contract. Exit code 0, or 1 with the reason in the failure file, or 143 when stopped by SIGTERM.

    sagemaker-training turns any SystemExit into exit code 0, a ClientError into 1 and a failure file with its text.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGTERM, _stop)
    contract = Contract.from_environment()
    # Where the folder is missing, the toolkit cannot write the failure file, and that hides the exit code too.
    contract.failure.parent.mkdir(parents=True, exist_ok=True)
    try:
        train(Job.under(contract), parse(contract.hyperparameters()), weights_of(contract), Progress(Printer()))
    except Stopped as stopped:
        print(stopped, file=sys.stderr, flush=True)
        os._exit(stopped.exit_code)
    except KennelError as error:
        raise ClientError(str(error)) from error


def weights_of(contract: Contract) -> str:
    """The file in the channel `weights`, else KENNEL_WEIGHTS, else "auto"."""
    folder: Path = contract.data / WEIGHTS
    files = sorted(each for each in folder.glob("*") if each.suffix in (".safetensors", ".pth"))
    return str(files[0]) if files else os.environ.get("KENNEL_WEIGHTS", "auto")


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number, "Checkpoints are kept; the same job goes on from them")
