"""What services do under roles: training jobs, endpoints, functions and rules, each with just enough rights, and less.

A server with the real services and the real gatekeeper; in the images' place stand small scripts.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import test_local_hosting
import test_local_training
from fixtures_lambda import zipped
from kennel.errors import Stopped, stop_on_signals
from kennel.iam.record import Call
from kennel.local.home import State
from kennel.local.home import state as state_of
from kennel.local.parts import House, Runner, RunnerName, Running, Work
from test_gatekeeper import ACCOUNT, Account, allow, policy, refused, trust

REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
RULES = "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
