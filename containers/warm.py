"""Use what an image is made for, by its packages alone: `warm.py training|serving-cpu|serving-gpu`.

It proves that nothing is missing after slim.py, and leaves the bytecode of just what is used. Python would compile the
rest again at every start of a container: a training's first seconds. Packages import much only when they are used.
"""

import sys
from importlib import import_module

TRAINING = """imagehash jinja2 matplotlib.pyplot nncf openvino.opset13 PIL.JpegImagePlugin sagemaker_training.cli.train
    smdebug.pytorch torch.distributed.run typer"""
SERVING = """mms.model_service_worker openvino.opset13 PIL.JpegImagePlugin PIL.PngImagePlugin PIL.WebPImagePlugin
    safetensors.numpy sagemaker_inference.default_handler_service"""


def training() -> None:
    """What trains, quantises and tells of it."""
    _import(TRAINING)
    _common()
    import torch

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # this imports torch's compiler, as large as torch itself
    _quantise()


def serving_cpu() -> None:
    """What decodes and predicts."""
    _import(SERVING)
    _common()


def serving_gpu() -> None:
    serving_cpu()
    _import("torch")


def _import(modules: str) -> None:
    for name in modules.split():
        import_module(name)


def _common() -> None:
    import httpx
    from pydantic import BaseModel

    httpx.Client().close()
    type("Model", (BaseModel,), {"__annotations__": {"number": int}})


def _quantise() -> None:
    """The smallest network that has something to quantise."""
    import nncf
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    pictures, kernel = op.parameter([1, 3, 8, 8], np.float32), np.ones((4, 3, 3, 3), np.float32)
    convolved = op.convolution(pictures, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    shifted = op.relu(op.add(convolved, np.ones((1, 4, 1, 1), np.float32)))
    network = ov.Model([op.reduce_mean(shifted, np.array([2, 3]))], [pictures])
    nncf.quantize(network, nncf.Dataset([np.ones((1, 3, 8, 8), np.float32)]), subset_size=1)


if __name__ == "__main__":
    uses = {"training": training, "serving-cpu": serving_cpu, "serving-gpu": serving_gpu}
    if len(sys.argv) != 2 or sys.argv[1] not in uses:
        sys.exit(f"warm.py wants one of: {', '.join(uses)}")
    uses[sys.argv[1]]()
