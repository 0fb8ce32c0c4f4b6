"""Run a bake-off: plan, skip what is stored, train the rest, read the results back."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from triode.bakeoff.data import load as load_data
from triode.bakeoff.environment import describe
from triode.bakeoff.plan import Trial, plan
from triode.bakeoff.progress import Status, display
from triode.bakeoff.records import Results, TrialResult
from triode.bakeoff.spec import Spec, check_sizes
from triode.bakeoff.store import Store, load, parse_result, write_csv
from triode.bakeoff.worker import make_task, run_task
from triode.bakeoff.workers import Workers, processors
from triode.errors import MissingExtra, TriodeError

TICK = 0.2
"""Seconds between two looks at how far the workers are."""


class TrialsFailed(TriodeError):
    """Some trials raised; the others are stored, and a second start tries the missing ones again."""

    exit_status = 1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the trials in training are lost, the finished ones are stored; the message says how to go on."""


def run(
    spec: Spec | None = None,
    executor: Executor | None = None,
    *,
    out: str | Path | None = None,
    progress: bool | Callable[[Status], None] = True,
) -> Results:
    """Train every trial of `spec` that its directory does not hold yet, and return all results.

    Args:
        spec: What to compare; the default is the chapter's seven activations, in about two minutes on two processors.
        executor: Where to train: any `concurrent.futures.Executor`, such as Dask's `Client.get_executor()`. By default
            as many processes as `spec.jobs` says. Numbers do not depend on it.
        out: Directory of the results, in place of `spec.out`.
        progress: Show a display on the terminal; or a function that is called with a `Status` several times a second.

    Returns:
        The results, in the order of the specification; the same as `load(out)` gives later.

    Raises:
        TriodeError: Before anything runs, for data that cannot be had or a folder that cannot be written.
        TrialsFailed: At the end, when a trial raised; the others are stored.
        Interrupted: After Ctrl-C.
    """
    if find_spec("torch") is None:
        raise MissingExtra("PyTorch", "a bake-off", "bakeoff")
    spec = spec or Spec()
    if out is not None:
        spec = replace(spec, out=Path(out))
    started = time.monotonic()
    with ExitStack() as stack:
        data = load_data(spec.dataset, spec.data_dir)
        check_sizes(spec, len(data.train_labels))
        trials = plan(spec, data.fingerprint)
        store = Store(spec.out)
        store.prepare(spec, trials)
        missing = [trial for trial in trials if store.result(trial.key) is None]
        if missing:
            for trial in missing:
                store.forget_unfinished(trial.key)
            # Seed by seed, so that a run that is stopped early has something of every activation.
            missing.sort(key=lambda trial: trial.seed)
            jobs = min(spec.jobs or processors(), len(missing))
            submit = stack.enter_context(_local(jobs) if executor is None else _foreign(executor))
            show = stack.enter_context(display()) if progress is True else progress or (lambda status: None)
            place = f"{jobs} at a time" if executor is None else type(executor).__name__
            before = float(store.environment().get("wall_seconds", "0") or 0)
            environment = describe(f"1 for each trial, trials: {place}")
            store.write_environment(environment | {"wall_seconds": f"{before:.1f}"})
            try:
                _train(store, spec, trials, missing, submit, show)
            finally:
                seconds = before + time.monotonic() - started
                store.write_environment(environment | {"wall_seconds": f"{seconds:.1f}"})
    results = load(spec.out)
    write_csv(results)
    return results


def _train(
    store: Store,
    spec: Spec,
    trials: tuple[Trial, ...],
    missing: list[Trial],
    submit: Callable[[str], Future[str]],
    show: Callable[[Status], None],
) -> None:
    """Have the missing trials trained; return when all are stored, raise when one failed."""
    started = time.monotonic()
    futures: dict[Future[str], Trial] = {}
    failures: list[tuple[Trial, BaseException]] = []
    try:
        futures = {submit(make_task(trial, store.directory, spec.data_dir)): trial for trial in missing}
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=TICK, return_when=FIRST_COMPLETED)
            latest = []
            for future in done:
                error = future.exception()
                if error is not None:
                    failures.append((futures[future], error))
                    continue
                latest.append(_keep(store, futures[future], future.result()))
            training = {futures[future] for future in waiting}
            show(_status(store, trials, missing, training, len(failures), tuple(latest), started))
    except KeyboardInterrupt as error:
        for future in futures:
            future.cancel()
        kept = sum(store.result(trial.key) is not None for trial in trials)
        raise Interrupted(
            f"Stopped: {kept} of {len(trials)} trials are finished and kept. To go on: "
            f"triode bakeoff {store.directory / 'spec.toml'}"
        ) from error
    if failures:
        for trial, reason in failures:
            store.fail(trial.key, "".join(traceback.format_exception(reason)))
        trial, reason = failures[0]
        raise TrialsFailed(
            f"{len(failures)} of {len(trials)} trials failed, the others are stored in {store.directory}; the first "
            f"is {trial.activation} with seed {trial.seed}: {reason} (details: {store.error_file(trial.key)})"
        ) from reason


def _keep(store: Store, trial: Trial, text: str) -> TrialResult:
    """The result a worker sent, which the worker has stored as well unless its disk is another one."""
    result = parse_result(text)
    if not (store.trial_dir(trial.key) / "result.json").is_file():
        store.finish(result)
    return result


def _status(
    store: Store,
    trials: tuple[Trial, ...],
    missing: list[Trial],
    waiting: set[Trial],
    failed: int,
    latest: tuple[TrialResult, ...],
    started: float,
) -> Status:
    running = [
        (t, store.epochs_done(t.key)) for t in missing if t in waiting and store.epochs_file(t.key).exists()
    ]
    over = len(missing) - len(waiting)
    return Status(
        total=len(trials),
        stored=len(trials) - len(missing),
        finished=len(trials) - len(waiting) - failed,
        epochs_done=over * missing[0].epochs + sum(done for _, done in running),
        epochs_total=len(missing) * missing[0].epochs,
        running=tuple(running),
        latest=latest,
        elapsed=time.monotonic() - started,
    )


@contextmanager
def _local(jobs: int) -> Iterator[Callable[[str], Future[str]]]:
    workers = Workers(jobs)
    try:
        yield workers.submit
    finally:
        workers.stop()


@contextmanager
def _foreign(executor: Executor) -> Iterator[Callable[[str], Future[str]]]:
    yield lambda task: executor.submit(run_task, task)
