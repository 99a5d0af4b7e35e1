"""Take out of a virtual environment what an image never uses: `slim.py VENV training|serving-cpu|serving-gpu|function`.

What goes is listed here with its reason, and stays proven by the images' own tests: they train, quantise and serve.
Prints what each took up; 0.0 MB is what this build of a package does not have. Standard library only.
"""

import shutil
import sys
from pathlib import Path

EVERYWHERE = {
    "pip/": "nothing is installed at run time",
    "pip-*.dist-info/": "belongs to pip",
    "../../../bin/pip*": "belongs to pip",
    "numpy/[!_]*/tests/": "tests",
    "numpy/_core/tests/test_*.py": "tests; numpy.testing, which SciPy wants, imports a module beside them",
    "scipy/*/tests/": "tests",
    "gevent/tests/": "tests, with private keys that a scanner of images would find",
    "future/backports/test/": "tests, with private keys that a scanner of images would find",
    # Reading an exported graph takes only the `ir` frontend; features are computed on the CPU or by torch.
    "openvino/libs/libopenvino_intel_gpu_plugin.so": "Intel's GPUs",
    "openvino/libs/libopenvino_intel_npu_plugin.so": "Intel's NPUs",
    "openvino/libs/cache.json": "kernels of the GPU plugin",
    "openvino/libs/libopenvino_gguf_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_jax_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_onnx_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_paddle_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_pytorch_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_tensorflow_frontend.so.*": "another framework's files",
    "openvino/libs/libopenvino_tensorflow_lite_frontend.so.*": "another framework's files",
    "openvino/include/": "headers",
}

TORCH = {
    "torch/include/": "headers, for compiling extensions",
    "torch/share/": "CMake's files",
    "torch/test/": "test programs",
    "torch/bin/*test*": "test programs",
}

TRAINING = {
    "pandas/tests/": "tests",
    "sympy/*/tests/": "tests",
    "sympy/*/*/tests/": "tests",
}

# Of SciPy, sagemaker-inference's decoder imports scipy.sparse, and that no linear algebra.
SCIPY_KEPT = {"_cyutility", "__config__", "__init__", "_distributor_init", "_lib", "sparse", "version"}

SERVING = {
    # Only sagemaker_inference.model_server imports boto3, and `serve` starts the server itself.
    "boto3*/": "an AWS SDK that is not used",
    "botocore*/": "boto3's",
    "s3transfer*/": "boto3's",
    "jmespath*/": "boto3's",
    "dateutil/": "boto3's",
    "python_dateutil-*.dist-info/": "boto3's",
    "imagehash/": "near-duplicates are looked for before training",
    "ImageHash-*.dist-info/": "belongs to imagehash",
    "pywt/": "imagehash's",
    "pywavelets-*.dist-info/": "imagehash's",
    "scipy.libs/": "LAPACK, for the parts of SciPy that go",
}

CPU = {
    # For sagemaker_inference.model_server, see above. torch, where it is there, wants setuptools.
    "setuptools*/": "imported by nothing that runs",
    "pkg_resources/": "imported by nothing that runs",
    "_distutils_hack/": "belongs to setuptools",
    "distutils-precedence.pth": "belongs to setuptools",
}


def slim(environment: Path, image: str) -> int:
    """Remove, print, and answer the bytes freed."""
    (site,) = environment.glob("lib/python3*/site-packages")
    freed = 0
    for pattern, reason in patterns(image).items():
        freed += _remove(list(site.glob(pattern.rstrip("/"))), pattern, reason)
    if image.startswith("serving"):
        rest = [path for path in (site / "scipy").iterdir() if path.name.split(".")[0] not in SCIPY_KEPT]
        freed += _remove(rest, "scipy/*", "all but scipy.sparse")
    return freed


def patterns(image: str) -> dict[str, str]:
    """What goes from which image."""
    return {
        "training": EVERYWHERE | TORCH | TRAINING,
        "serving-cpu": EVERYWHERE | SERVING | CPU,
        "serving-gpu": EVERYWHERE | TORCH | SERVING,
        "function": EVERYWHERE | CPU,
    }[image]


def _remove(paths: list[Path], pattern: str, reason: str) -> int:
    size = sum(file.lstat().st_size for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"{size / 1e6:8.1f} MB  {pattern}  ({reason})")
    return size


if __name__ == "__main__":
    print(f"{slim(Path(sys.argv[1]), sys.argv[2]) / 1e6:8.1f} MB  in all")
