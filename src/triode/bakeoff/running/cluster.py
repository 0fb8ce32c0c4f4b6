"""Bake-offs on many machines: Dask distributed as an executor.

The scheduler gives the task of a worker that is lost to another one. With a disk that all see, it goes on there from
the last checkpoint; without one it starts over. Tasks and results are text either way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from triode.errors import MissingExtra, TriodeError

LOSSES = 20
"""So many workers may be lost with the same task on them before it counts as its fault (here, with `local:N`)."""
PATIENCE = 20.0
"""Seconds to wait for the scheduler to answer, and then for a first worker."""


@contextmanager
def connect(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the cluster at `address`, and how many tasks it runs at a time now.

    Args:
        address: Of a scheduler, such as `tcp://10.0.0.1:8786`; or `local:N` for N processes here, which end with it.

    Raises:
        MissingExtra: Without Dask distributed.
        TriodeError: For an address at which no scheduler answers, or one without workers.
    """
    try:
        dask: Any = import_module("dask")
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise MissingExtra("Dask", "a bake-off on several machines", "dask") from error
    with ExitStack() as stack:
        target: Any = address
        if address == "local" or address.startswith("local:"):
            number = address.partition(":")[2] or "0"
            if not number.isdigit():
                raise TriodeError(f"dask = {address!r}: local:4 names four workers on this machine.")
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": LOSSES}))
            target = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=int(number) or None,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = stack.enter_context(distributed.Client(target, timeout=PATIENCE))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise TriodeError(
                f"dask = {address!r}: no scheduler with a worker answers there ({type(error).__name__}); start "
                "`dask scheduler` and `dask worker`, or name local:4."
            ) from error
        slots = sum(client.nthreads().values())
        yield client.get_executor(pure=False), slots
