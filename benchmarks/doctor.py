"""Measure the doctor: what watching costs, how often it cries wolf, how it scores, and its two scenes.

    python benchmarks/doctor.py overhead [--networks mlp,resnet,gpt,dying] [--pairs 30] [--steps 20]
    python benchmarks/doctor.py false-alarms [--models mlp,cnn] [--activations relu,gelu] [--sample N] [--again]
    python benchmarks/doctor.py score FOLDER [--cases dev.json]
    python benchmarks/doctor.py scenes [--no-proof]

- overhead: one network trains on; blocks of steps are watched and not watched in turns, in random order within each
  pair, so that a change of the machine's mood meets both. Printed: the median step of either kind, and of the ratio of
  the two of a pair the median with the quartiles. `begin` are blocks that a fresh watcher begins (it
  traces the first step and samples ten: paid once); `on` those in which one goes on, its free seconds spent;
- false-alarms: every built-in network of the bake-off with every elementwise activation of the catalogue, trained with
  the bake-off's data, initial weights and optimiser. Every finding is printed with its first sentence. What was
  measured is kept cell by cell: the command goes on where it was stopped;
- score: cases of a folder with `cases.py` (its `load(path)` gives cases with `id`, `label`, `expected`,
  `fixed_is_control` and `build(seed, fixed)`), asked of `triode.doctor.examine`;
- scenes: the chapter's two sick networks, diagnosed, cured and proved.

Results go to `benchmarks/doctor.json`, a section for each command.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import triode
from triode.bakeoff import models
from triode.bakeoff.contestants import contestant
from triode.bakeoff.data import load_cached
from triode.bakeoff.plan import make_trial
from triode.bakeoff.setting import Setting
from triode.bakeoff.storage.store import write_whole
from triode.bakeoff.training.examples import Examples, evaluate, loss_of, part
from triode.bakeoff.training.train import Seeded, batches, build, make_optimizer
from triode.doctor import scenes
from triode.doctor.diagnosis import Diagnosis
from triode.doctor.examination import examine
from triode.doctor.observe.watcher import Watcher
from triode.doctor.proof import prove

RESULTS = Path(__file__).with_suffix(".json")
sys.path.insert(0, str(Path(__file__).parent))
GOAL = 0.05
SETTLE = 8
"""Blocks before anything is timed, in which the sampling finds its pace."""
IMAGES, EPOCHS = 2_560, 3
"""Of a training in the table of false alarms: 60 steps of 128."""
LEARNED = 0.2
"""Accuracy from which on a network has learned; guessing gives 0.1."""
UNSUITABLE = {"identity": "is the collapse of linear layers that the doctor is there to find"}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("overhead")
    one.add_argument("--networks", default="mlp,resnet,gpt,dying")
    one.add_argument("--pairs", type=int, default=24)
    one.add_argument("--steps", type=int, default=24, help="steps of a block, at most")
    one.add_argument(
        "--seconds", type=float, default=5.0, help="of a block, at most; never fewer than 8 steps"
    )
    two = commands.add_parser("false-alarms")
    two.add_argument("--models", default=",".join(models.names()))
    two.add_argument("--activations", default=",".join(suitable()))
    two.add_argument("--epochs", type=int, default=EPOCHS)
    two.add_argument("--images", type=int, default=IMAGES)
    two.add_argument("--sample", type=int, default=0, help="so many cells drawn at random; 0: all")
    two.add_argument("--again", action="store_true", help="measure anew what is there")
    three = commands.add_parser("score")
    three.add_argument("folder", type=Path)
    three.add_argument("--cases", default="dev.json")
    four = commands.add_parser("scenes")
    four.add_argument("--no-proof", action="store_true")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    {"overhead": overhead, "false-alarms": false_alarms, "score": score, "scenes": show_scenes}[
        options.command
    ](options)


def record(path: Path, section: str, found: Any) -> None:
    """Keep a section of the results; the others stay as they are."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[section] = found
    text = json.dumps(dict(sorted(kept.items())), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(path, text)


# ------------------------------------------------------------------ overhead


def overhead(options: argparse.Namespace) -> None:
    """Time steps watched and not watched."""
    from doctor_networks import NETWORKS

    found: dict[str, Any] = {}
    print(f"{'network':10} {'':6} {'bare ms':>16} {'watched ms':>16} {'cost':>7}  quartiles")
    for name in options.networks.split(","):
        for phase in ("begin", "on"):
            step, model = NETWORKS[name]()
            for _ in range(5):
                step()
            row = found[f"{name}, {phase}"] = _pairs(step, model, options, fresh=phase == "begin")
            print(
                f"{name:10} {phase:6} {row['bare_ms']:16.2f} {row['watched_ms']:16.2f} {row['cost']:+7.1%}  "
                f"{row['quartiles'][0]:+.1%} to {row['quartiles'][1]:+.1%}  every {row['every']}, asking "
                f"{row['ask_every']}",
                flush=True,
            )
    record(
        options.results,
        "overhead",
        found | {"goal": GOAL, "torch": torch.__version__, "threads": options.threads},
    )


def _pairs(
    step: Callable[[], None], model: torch.nn.Module, options: argparse.Namespace, *, fresh: bool
) -> dict[str, Any]:
    """Blocks of steps, watched and not, in turns."""
    begun = time.perf_counter()
    for _ in range(3):
        step()
    steps = max(8, min(options.steps, int(options.seconds / (time.perf_counter() - begun) * 3)))
    watcher = Watcher([model])
    order = np.random.default_rng(0)
    times: dict[bool, list[float]] = {False: [], True: []}
    if not fresh:
        with watcher:
            step()
            watcher.rhythm.FREE = 0.0  # what may be spent freely at first is gone
            for _ in range(SETTLE * steps):
                step()
    for _ in range(options.pairs):
        if fresh:
            watcher = Watcher([model])
        for watched in order.permutation(2).astype(bool).tolist():
            with watcher if watched else nullcontext():
                begun = time.perf_counter()
                for _ in range(steps):
                    step()
                times[watched].append((time.perf_counter() - begun) / steps)
    ratios = [watched / bare - 1.0 for bare, watched in zip(times[False], times[True], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "bare_ms": round(1e3 * statistics.median(times[False]), 3),
        "watched_ms": round(1e3 * statistics.median(times[True]), 3),
        "cost": round(middle, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "every": watcher.rhythm.spacing,
        "ask_every": watcher.rhythm.ask_every,
        "pairs": options.pairs,
        "steps": steps,
    }


# ------------------------------------------------------------------ false alarms


def suitable() -> tuple[str, ...]:
    """Activations that stand in a hidden layer."""
    return tuple(
        name for name in triode.names() if triode.get(name).kind == "elementwise" and name not in UNSUITABLE
    )


def false_alarms(options: argparse.Namespace) -> None:
    """The table, model by activation."""
    cells = [(m, a) for m in options.models.split(",") for a in options.activations.split(",")]
    if options.sample:
        drawn = np.random.default_rng(0).permutation(len(cells))[: options.sample]
        cells = [cells[number] for number in drawn]
    kept = json.loads(options.results.read_text()) if options.results.exists() else {}
    rows: dict[str, Any] = {} if options.again else kept.get("false-alarms", {})
    for number, (model, activation) in enumerate(cells, 1):
        key = f"{model} {activation}"
        asked = {"epochs": options.epochs, "images": options.images}
        if any(rows.get(key, {}).get(name) != value for name, value in asked.items()):
            begun = time.perf_counter()
            diagnosis, accuracy = cell(model, activation, options.epochs, options.images)
            rows[key] = asked | {
                "findings": [finding.diagnosis for finding in diagnosis.findings],
                "summaries": [finding.summary for finding in diagnosis.findings],
                "notes": [note.diagnosis for note in diagnosis.notes],
                "accuracy": round(accuracy, 4),
                "checked": len(diagnosis.checked),
                "seconds": round(time.perf_counter() - begun, 1),
            }
            record(options.results, "false-alarms", rows)
        row = rows[key]
        print(
            f"{number:4}/{len(cells)} {key:32} {row['accuracy']:6.1%} {', '.join(row['findings']) or 'healthy'}",
            flush=True,
        )
        for summary in row["summaries"]:
            print(f"          {summary}")
    keys = [f"{m} {a}" for m, a in cells]
    trained = [key for key in keys if rows[key]["accuracy"] >= LEARNED]
    alarmed = [key for key in trained if rows[key]["findings"]]
    ill = [key for key in keys if key not in trained]
    caught = sum(bool(rows[key]["findings"]) for key in ill)
    print(
        f"false alarms: {len(alarmed)} of {len(trained)} trainings that learned: {', '.join(alarmed) or 'none'}"
    )
    print(f"with a finding: {caught} of {len(ill)} that did not learn: {', '.join(ill) or 'none'}")


def cell(model: str, activation: str, epochs: int = EPOCHS, images: int = IMAGES) -> tuple[Diagnosis, float]:
    """Train one network as the bake-off does, watched, and say what was found and its accuracy on validation data."""
    setting = Setting(model=model, epochs=epochs)
    data = load_cached(setting.dataset)
    trial = make_trial(contestant(activation), 0, "final", data.fingerprint, setting)
    network = build(trial, data)
    training = part(data, setting, "train")
    shuffled = torch.Generator().manual_seed(1)

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in batches(network, min(images, len(training)), setting.batch_size, shuffled):
            yield training.inputs(rows), training.targets(rows)

    with Seeded(trial.seed, 1, torch.device("cpu")):
        diagnosis = examine(network, epoch, loss_of(training.task), make_optimizer(setting, network), epochs)
    return diagnosis, evaluate(network, _some(part(data, setting, "validation")))[1]


def _some(examples: Examples) -> Examples:
    """The first batch of them: enough to tell learned from not learned."""
    every = examples.batches
    examples.batches = lambda: every()[:1]  # type: ignore[method-assign]
    return examples


# ------------------------------------------------------------------ score


def score(options: argparse.Namespace) -> None:
    """Recall, first-named cause and false alarms on the cases of a folder."""
    sys.path.insert(0, str(options.folder.resolve()))
    from cases import load as load_cases  # type: ignore[import-not-found]

    recall: dict[str, list[bool]] = defaultdict(list)
    first: list[bool] = []
    alarms: list[str] = []
    controls = 0
    begun = time.perf_counter()
    for case in load_cases(options.folder / options.cases):
        for fixed in (False, True) if case.fixed_is_control else (False,):
            name = case.id + (" (repaired)" if fixed else "")
            setup = case.build(0, fixed)
            torch.manual_seed(0)
            try:
                diagnosis = examine(
                    setup.model, setup.batches, setup.loss_fn, optimizer=setup.optimizer, epochs=setup.epochs
                )
                answer = list(dict.fromkeys(finding.diagnosis for finding in diagnosis.findings))
            except Exception as error:  # noqa: BLE001 - the doctor's own failure counts as silence, and is shown
                print(f"{name}: {type(error).__name__}: {error}")
                answer = []
            if fixed or case.label == "healthy":
                controls += 1
                if answer:
                    alarms += answer[:1]
                    print(f"false alarm on {name}: {answer}")
                continue
            for expected in case.expected:
                recall[expected].append(expected in answer)
            first.append(bool(answer) and answer[0] in case.expected)
            if not first[-1] or not set(case.expected) <= set(answer):
                print(f"{name}: expected {list(case.expected)}, found {answer}")
    for name, hits in sorted(recall.items()):
        print(f"{name:28} recall {sum(hits):3}/{len(hits):<3}  false alarms {alarms.count(name)}")
    hits = [hit for each in recall.values() for hit in each]
    found = {
        "recall": round(sum(hits) / len(hits), 4),
        "top1": round(sum(first) / len(first), 4),
        "false_alarms": round(len(alarms) / max(controls, 1), 4),
        "faulty": len(first),
        "controls": controls,
        "by_diagnosis": {name: [sum(each), len(each)] for name, each in sorted(recall.items())},
    }
    print(
        f"recall={found['recall']:.2f} top1={found['top1']:.2f} false_alarms={found['false_alarms']:.2f} "
        f"n={len(first)} healthy={controls} in {time.perf_counter() - begun:.0f} s"
    )
    record(options.results, "score", found)


# ------------------------------------------------------------------ scenes


def show_scenes(options: argparse.Namespace) -> None:
    """Diagnose, cure and prove both scenes."""
    found: dict[str, Any] = {}
    for name, scene in scenes.SCENES.items():
        begun = time.perf_counter()
        sick = scene()
        diagnosis = examine(sick.model, sick.batches, sick.loss_fn, sick.optimizer, sick.epochs)
        history = diagnosis.histories[0]
        deaths = {
            site.name: round(site.last.dead_share, 4)
            for site in history.hidden()
            if site.last is not None and site.can_die
        }
        gradients = {
            layer.name: statistics.median(value for value in layer.gradient_rms if math.isfinite(value))
            for layer in history.weight_layers()
        }
        row: dict[str, Any] = {
            "findings": [finding.diagnosis for finding in diagnosis.findings],
            "summary": diagnosis.findings[0].summary if diagnosis.findings else "",
            "dead": deaths,
            "gradient": {layer: float(f"{value:.3g}") for layer, value in gradients.items()},
        }
        print(f"\n{name}: {', '.join(row['findings']) or 'healthy'}. {row['summary']}")
        print("  dead     ", _line(deaths, "{:.1%}"))
        print("  gradient ", _line(gradients, "{:.1e}"))
        if not options.no_proof:
            proofs = prove(scene(), diagnosis).proofs
            row["proofs"] = [{"helped": proof.helped, "sentence": proof.sentence} for proof in proofs]
            for proof in proofs:
                print(f"  {'helped' if proof.helped else 'did not help':13} {proof.sentence}")
        row["seconds"] = round(time.perf_counter() - begun, 1)
        print(f"  {row['seconds']} s")
        found[name] = row
    record(options.results, "scenes", found)


def _line(values: Mapping[str, float], how: str) -> str:
    return ", ".join(f"{name} {how.format(value)}" for name, value in values.items())


if __name__ == "__main__":
    main()
