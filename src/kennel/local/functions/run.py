"""Started as an instance's program, in a Python without this installation's packages: hands over to AWS's client.

`python -S run.py HANDLER`. On its path: this folder's neighbours in the runtime folder, then the function's own files.
"""

import os
import runpy
import site
import sys

if __name__ == "__main__":
    site.setquit()
    site.sethelper()
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
