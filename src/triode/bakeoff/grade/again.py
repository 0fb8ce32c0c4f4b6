"""Trains one trial in a process of its own: the trial as JSON comes in, a line an epoch and the result go out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from triode.bakeoff.plan import Trial
from triode.bakeoff.storage.codec import dump_epoch, dump_result
from triode.errors import TriodeError


def main() -> int:
    """Train until the trial ends or nobody reads any more; a failure is one sentence on standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the epochs
    wanted = json.loads(sys.stdin.read())
    trial = Trial.from_plain(wanted["trial"])
    try:
        import torch

        from triode.bakeoff.data import load
        from triode.bakeoff.training.train import start

        # As in a worker: another number of threads adds in another order.
        torch.set_num_threads(1)
        folder = wanted["data_dir"]
        data = load(trial.setting.dataset, Path(folder) if folder else None, task=trial.setting.task)
        if data.fingerprint != trial.fingerprint:
            raise TriodeError(f"{trial.setting.dataset} here is not the data that the trial was trained on.")
        training = start((trial,), data)
        (record,) = training.begin()
        print(dump_epoch(record), file=answers, flush=True)
        records = [record]
        for _ in range(trial.epochs):
            if training.diverged[0]:
                break
            (trained,) = training.epoch()
            if trained is None:
                break
            records.append(trained)
            print(dump_epoch(trained), file=answers, flush=True)
        (result,) = training.finish((tuple(records),), 1.0)
        print(dump_result(result), file=answers, flush=True)
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the parent shows the sentence
        words = str(error) if isinstance(error, TriodeError) else f"{type(error).__name__}: {error}"
        print(" ".join(words.split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
