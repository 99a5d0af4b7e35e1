"""What bounds Lambda here. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass

PAYLOAD = 6_291_556
"""Bytes of a synchronous request or response; AWS's number."""
ASYNC_PAYLOAD = 2**20
ZIPPED = 50 * 2**20
"""Of a deployment package sent in a request; from S3 it may be larger, as long as it unzips to UNZIPPED."""
UNZIPPED = 262_144_000
REQUEST = 70_167_211
"""Bytes of a request with a package in it; AWS's number."""
FILES = 20_000
"""Of a deployment package."""
ENVIRONMENT = 4096
"""Bytes of a function's variables, names and values, as JSON."""


@dataclass(frozen=True, slots=True)
class Limits:
    """concurrency: executions at a time of all functions (AWS: 1000 at first); unreserved: how many of them cannot be
    reserved (AWS: 100). idle_s: until an instance without work ends; AWS tells no number, some minutes were seen.
    init_s: for the code outside the handler; what takes longer counts against the function's own timeout.
    provisioned_init_s: the same ahead of any request. attempts: failed starts until provisioned concurrency is FAILED.
    queued: asynchronous invocations that wait; retries, retry_s: of those that fail.
    """

    concurrency: int = 10
    unreserved: int = 1
    idle_s: float = 300
    init_s: float = 10
    provisioned_init_s: float = 130
    attempts: int = 3
    backoff_s: float = 1
    queued: int = 10_000
    retries: int = 2
    retry_s: float = 60
