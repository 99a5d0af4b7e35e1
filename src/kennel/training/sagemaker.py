"""What `train` runs in the training image (`SAGEMAKER_TRAINING_MODULE=kennel.training.sagemaker:main`).

sagemaker-training calls `main` in its own process, so SIGTERM (a stopped job, a spot interruption) comes to us. With
several hosts or GPUs that toolkit's own runner starts torchrun, which starts this file once for each.

Imports nothing heavy by itself: until `main` runs, process 1 of a container would not notice SIGTERM.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from kennel.contract import Contract
from kennel.errors import KennelError, SettingError, Stopped, one_line, stop_on_signals

JOB = "KENNEL_JOB"
"""The variable that says what the job does: train (where it is missing), or features."""
STOP_SECONDS = 60
"""For torchrun to end its processes; SageMaker kills 120 s after SIGTERM."""


def main() -> None:
    """Work under the contract. Exit code 0, or 1 with the reason in the failure file, or 143 when stopped by SIGTERM.

    sagemaker-training turns any SystemExit into exit code 0, a ClientError into 1 and a failure file with its text.
    """
    stop_on_signals()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    contract = Contract.from_environment()
    try:
        # Where the folder is missing, the toolkit cannot write the failure file, and that hides the exit code too.
        contract.failure.parent.mkdir(parents=True, exist_ok=True)
        _refuse_wrong_job(contract)
        processes = processes_per_host()
        if "RANK" not in os.environ and (processes > 1 or len(contract.hosts()) > 1):
            _work_in_many(contract, processes)
        else:
            _work(contract)
    except Stopped as stopped:
        print(stopped, file=sys.stderr, flush=True)
        os._exit(stopped.exit_code)
    except (KennelError, OSError) as error:
        _fail(contract, one_line(error) if isinstance(error, OSError) else error)


def processes_per_host() -> int:
    """A process a GPU; KENNEL_PROCESSES_PER_HOST says otherwise."""
    import torch

    return int(os.environ.get("KENNEL_PROCESSES_PER_HOST") or max(1, torch.cuda.device_count()))


def weights_of(contract: Contract) -> str:
    """The file in the channel `weights`, else KENNEL_WEIGHTS, else "auto"."""
    files = sorted(each for each in contract.weights.glob("*") if each.suffix in (".safetensors", ".pth"))
    return str(files[0]) if files else os.environ.get("KENNEL_WEIGHTS", "auto")


def _refuse_wrong_job(contract: Contract) -> None:
    kind, hosts = os.environ.get(JOB) or "train", len(contract.hosts())
    if kind not in ("train", "features"):
        raise SettingError(f"{JOB} is {kind!r}", "Set it to train or features, or leave it away")
    if kind == "features" and hosts > 1:
        raise SettingError(
            f"a features job works on one host, this one has {hosts}: hosts share no disk",
            "Ask for one instance; all of its GPUs are used",
        )


def _work(contract: Contract) -> None:
    from kennel.hyperparameters import parse
    from kennel.progress import Printer, Progress
    from kennel.training.job import Job

    given = (Job.under(contract), parse(contract.hyperparameters()), weights_of(contract), Progress(Printer()))
    if os.environ.get(JOB) == "features":
        from kennel.training.features_job import compute_features

        compute_features(*given)
    else:
        from kennel.training.run import train

        train(*given)


def _work_in_many(contract: Contract, processes: int) -> None:
    """torchrun on this host, by sagemaker-training's runner; raises KennelError when it fails."""
    from sagemaker_training import environment
    from sagemaker_training.torch_distributed import TorchDistributedRunner

    settings = environment.Environment()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # torchrun is there
    Path(environment.code_dir).mkdir(parents=True, exist_ok=True)  # the runner's working folder
    runner = TorchDistributedRunner(
        str(Path(__file__)), [], {}, processes, contract.hosts()[0], contract.hosts(), contract.current_host(),
        settings.network_interface_name,
    )  # fmt: skip
    try:
        code, _, _ = runner.run(capture_error=False, wait=False)  # which waits all the same, and returns the exit code
    except Stopped:
        _end_children()
        raise
    if code:
        told = contract.failure.read_text() if contract.failure.is_file() else f"torchrun ended with exit code {code}"
        raise KennelError(told)


def _end_children() -> None:
    """SIGTERM for torchrun, which hands it on; SIGKILL for what is still there after a minute."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        child.terminate()
    for child in psutil.wait_procs(children, STOP_SECONDS)[1]:
        child.kill()


def _fail(contract: Contract, error: KennelError) -> None:
    """Tell why: to the toolkit, which writes the failure file; or, in one of torchrun's processes, by ourselves.

    Whichever fails first tells it, since torchrun ends the others then.
    """
    from sagemaker_training.errors import ClientError

    if "RANK" not in os.environ:
        raise ClientError(str(error)) from error
    contract.failure.write_text(str(error))
    print(error, file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
