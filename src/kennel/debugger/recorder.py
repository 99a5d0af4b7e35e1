"""A training's tensors on disk: smdebug's hook, registered with the network by our own loop.

Which tensors, and how often, DebugHookConfig says (`configuration` has ours). An error inside smdebug ends the
recording, never the training.
"""

from __future__ import annotations

import atexit
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.debugger.configuration import LOSS
from kennel.debugger.recorded import Phase
from kennel.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)

MARKS = ("claim.smd", "training_job_end.ts")
"""smdebug's files that say that somebody writes here, or has ended: a process that was killed, or stopped."""
REMEDY = "See DebugHookConfig in SageMaker's API: all values are strings"


class Recorder:
    """One training's. Every step goes through `phase`, the module's forward pass, and `loss`."""

    def __init__(self, config: Mapping[str, Any], folder: Path) -> None:
        """config: DebugHookConfig; folder: takes the place of its LocalPath."""
        self._config, self._folder = {**config, "LocalPath": str(folder)}, folder
        self._hook: Any = None
        self._modes: dict[Phase, Any] = {}
        self._phase: Phase = "train"
        self._sums: dict[Phase, tuple[Any, int]] = {"train": (0.0, 0), "valid": (0.0, 0)}

    def attach(self, module: nn.Module, done: Mapping[Phase, int], scale: Callable[[], float] = lambda: 1.0) -> None:
        """Before the first step. done: steps of each phase before an interruption, whose tensors are kept; scale: what
        gradients are multiplied by at this moment (float16's loss scale), and are recorded without.

        Raises SettingError for a configuration that smdebug does not take.
        """
        if not any(done.values()):
            shutil.rmtree(self._folder, ignore_errors=True)
        for mark in MARKS:
            (self._folder / mark).unlink(missing_ok=True)
        self._hook, self._modes = _hook(self._config, scale)
        for phase, steps in done.items():
            self._hook.mode_steps[self._modes[phase]] = steps - 1
        self._hook.step = sum(done.values()) - 1
        for each in module.modules():
            if hasattr(each, "inplace"):
                each.__dict__["inplace"] = False  # inputs are recorded after the pass, which must not change them
        self._hook.register_module(module)

    def phase(self, phase: Phase) -> None:
        """What the steps from here on belong to."""
        self._hook.set_mode(self._modes[phase])
        self._phase = phase

    def loss(self, loss: Tensor) -> None:
        """The batch's, after its forward pass. What is saved is the mean of all since the last one that was."""
        total, count = self._sums[self._phase]
        total, count = total + loss.detach(), count + 1
        if self._hook.should_save_tensor_or_collection(f"{LOSS}_output_0", "losses"):
            self._hook.record_tensor_value(LOSS, total / count)
            total, count = 0.0, 0
        self._sums[self._phase] = total, count

    def close(self) -> None:
        """The last step is written, and the folder marked as that of a training that has ended. Never raises."""
        if self._hook is None:
            return
        atexit.unregister(self._hook._cleanup)  # smdebug would do all this again, and raise
        try:
            self._hook.close()
        except Exception as error:  # a full disk, say: the training is worth more than what is told of it
            log.warning("the end of the recording cannot be written: %s", error)


def read_config(path: Path) -> dict[str, Any]:
    """DebugHookConfig as SageMaker leaves it for the container. Raises SettingError."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} is no Debugger configuration ({error})", REMEDY) from error
    if not isinstance(found, dict):
        raise SettingError(f"{path} is no JSON object", REMEDY)
    return found


def _hook(config: Mapping[str, Any], scale: Callable[[], float]) -> tuple[Any, dict[Phase, Any]]:
    """smdebug's hook, and its words for the phases."""
    _quiet()
    import smdebug.pytorch as smd
    from smdebug.core.error_handling_agent import ErrorHandlingAgent
    from smdebug.core.modes import ModeKeys
    from smdebug.pytorch.singleton_utils import del_hook

    del_hook()  # smdebug knows one a process, and disables itself for good after an error
    ErrorHandlingAgent.get_error_handling_agent().disable_smdebug = False
    made = _made(_forgiving(smd.Hook, scale), config)
    return made, {"train": ModeKeys.TRAIN, "valid": ModeKeys.EVAL}


def _forgiving(kind: Any, scale: Callable[[], float]) -> Any:
    """smdebug's Hook that lets a training go on when it fails, and takes bfloat16."""

    from smdebug.core.error_handling_agent import ErrorHandlingAgent

    agent = ErrorHandlingAgent.get_error_handling_agent()

    class Hook(kind):  # type: ignore[misc]
        def has_default_configuration(self) -> bool:
            """smdebug catches its own errors for the default configuration only."""
            return True

        def backward_hook(self, name: str) -> Callable[[Tensor], None]:
            """smdebug catches what goes wrong in the forward pass, but nothing in here."""
            forgiving = agent.catch_smdebug_errors()(super().backward_hook(name))

            def back(gradient: Tensor) -> None:
                factor = scale()
                forgiving(gradient if factor == 1 else gradient / factor)

            return back

        @staticmethod
        def _make_numpy_array(value: Any) -> Any:
            """numpy has no bfloat16."""
            wide = value.float() if "bfloat16" in str(getattr(value, "dtype", "")) else value
            return kind._make_numpy_array(wide)

    return Hook


def _made(kind: Any, config: Mapping[str, Any]) -> Any:
    create: Callable[[str], Any] = kind.create_from_json_file
    with tempfile.TemporaryDirectory(prefix="kennel-") as scratch:
        file = Path(scratch) / "debughookconfig.json"
        file.write_text(json.dumps(config))
        try:
            return create(str(file))
        except Exception as error:  # it raises whatever a wrong value leads to
            raise SettingError(f"smdebug does not take the Debugger configuration ({error})", REMEDY) from error


def _quiet() -> None:
    """smdebug makes its own logger at import, which tells every step of its own on stdout."""
    from smdebug.core.logger import get_logger

    get_logger().setLevel(logging.WARNING)
