"""`triode doctor`: run a training script unchanged, watch it, and say what ails the network."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from triode.cli._output import heading, paragraph, print_json
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.diagnosis import Diagnosis
    from triode.doctor.script import Examined

STDOUT = "-"
"""What --json says for standard output."""


DEMO = 240.0
"""Most seconds that the demonstration's second part takes."""


def run(
    *script: str,
    module: Annotated[bool, Parameter(name="-m")] = False,
    steps: int = 0,
    prove: bool = False,
    live: bool = False,
    demo: bool = False,
    html: Annotated[Path | None, Parameter(show_default=False)] = None,
    markdown: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Annotated[str, Parameter(show_default=False)] = "",
) -> int:
    """Run a training script unchanged, watch every PyTorch model that it trains, and diagnose what was seen.

    Everything after the script's name is the script's own. The diagnosis follows when it ends, when Ctrl-C interrupts
    it (a second one ends at once), when it fails, or after --steps. The exit status is 0 where the networks are
    healthy, 1 where there are findings or the script failed, 2 where the command is wrong or nothing was trained.

    Args:
        script: A training script and its arguments.
        module: Run a module instead, as `python -m` does; the word after it is the module.
        steps: Stop after so many training steps; 0 for the script's own end.
        prove: Run the script again with the prescriptions, for as many steps, until one has helped, and print the
            patch to apply. What the script writes, it writes again.
        live: Show steps, loss, dead units and gradients while it trains, on standard error.
        demo: Without a script: the whole story on a network whose units die, in about half a minute.
        html: Write the report to this file too.
        markdown: The same as Markdown.
        json: Write the diagnosis as JSON: --json=FILE, or --json alone for standard output, which the script's own
            output then leaves for standard error.

    Examples:
        triode doctor --demo
        triode doctor train.py --epochs 3 --lr 0.1
        triode doctor --steps 200 --html report.html train.py
        triode doctor --live --prove train.py
        triode doctor --json=diagnosis.json -m mypackage.train --batch-size 64
    """
    if demo and script:
        raise TriodeError(f"--demo needs no script, and {script[0]} was given: leave one of them out.")
    if not demo and not script:
        raise TriodeError("doctor needs a training script, such as: triode doctor train.py; or --demo.")
    if steps < 0:
        raise TriodeError(f"--steps {steps} is no number of training steps; 0 means until the script ends.")
    for flag, path in (("--html", html), ("--markdown", markdown), ("--json", Path(json) if json else None)):
        _check_place(flag, path)
    examined: Examined | None = None
    with _stdout_kept(json == STDOUT):
        if demo:
            diagnosis = _demo()
        else:
            examined = _script(script, module, steps, live)
            diagnosis = examined.diagnosis
            if prove and examined.trained and not diagnosis.healthy:
                from triode.doctor.again import prove_script

                diagnosis = prove_script(examined, _say)
    _write(diagnosis, html, markdown, json)
    if json != STDOUT:
        from triode.doctor.report import show

        paragraph("")
        show(diagnosis)
        if prove and not demo:
            _patch(diagnosis)
        if examined is not None and examined.sentence:
            paragraph(examined.sentence)
        for path in (html, markdown, Path(json) if json else None):
            if path is not None:
                paragraph(f"Written: {path}")
    if examined is None:  # the demonstration has shown what it was to show
        return 0
    failed = not examined.outcome.ok
    return 1 if failed or not diagnosis.healthy else 0


def arrange(words: Sequence[str]) -> list[str]:
    """Part this command's flags from the script and what is the script's own, with `--` between them.

    >>> arrange(["--steps", "5", "train.py", "--steps", "3", "--help"])
    ['--steps', '5', '--', 'train.py', '--steps', '3', '--help']
    >>> arrange(["--json", "-m", "pkg.train", "-m"])
    ['--json=-', '-m', '--', 'pkg.train', '-m']
    >>> arrange(["--json", "out.json", "train.py"])
    ['--json=out.json', '--', 'train.py']
    """
    arranged: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*arranged, word, *rest]
        if word == "-m" and rest[:1] != ["--"]:
            return [*arranged, word, "--", *rest]
        if not word.startswith("-"):
            return [*arranged, "--", word, *rest]
        if word == "--json":  # its value may be left out; a script is no .json file
            arranged.append(f"--json={rest.pop(0) if rest and rest[0].endswith('.json') else STDOUT}")
            continue
        arranged.append(word)
        if word in _with_value() and rest:
            arranged.append(rest.pop(0))
    return arranged


def _with_value() -> set[str]:
    """The flags of this command that a value follows."""
    return {
        f"--{name}"
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not isinstance(parameter.default, bool)
    }


def _script(words: Sequence[str], module: bool, steps: int, live: bool) -> Examined:
    from triode.doctor.launch import Command
    from triode.doctor.script import examine_script

    command = Command(words[0], tuple(words[1:]), module)
    examined = examine_script(command, steps=steps, live=live)
    if not examined.trained:
        outcome = examined.outcome
        if outcome.ending == "interrupted":
            raise KeyboardInterrupt(f"{command} was interrupted before anything was trained.")
        why = f"it ended with {outcome.error or f'exit status {outcome.status}'}"
        if outcome.ok:
            why = "no optimizer of PyTorch's took a step in this process (what other processes train is not seen)"
            if examined.unowned:
                why = (
                    f"its optimizer took {examined.unowned:,} steps, but no torch.nn.Module with parameters was called "
                    "before them; weights that are bare tensors are not watched"
                )
        error = TriodeError(f"{command} trained nothing that could be watched: {why}.")
        error.exit_status = 2 if outcome.ok else 1
        raise error
    return examined


def _demo() -> Diagnosis:
    """Examine the chapter's dying network, treat it, and train it again."""
    from triode.doctor import examine, scenes
    from triode.doctor.proof import prove

    sick = scenes.dying()
    _say("training a network of five ReLU layers, whose learning rate is ten times too high")
    diagnosis = examine(sick.model, sick.batches, sick.loss_fn, sick.optimizer, sick.epochs)
    _say("training it again, from the same weights on the same data, with what the diagnosis prescribes")
    proved: Diagnosis = prove(scenes.dying(), diagnosis, seconds=DEMO)
    return proved


def _patch(diagnosis: Diagnosis) -> None:
    """Print what to change in the script: what has helped, else the first thing to try."""
    from triode.doctor.patch import code

    helped = next((proof for proof in diagnosis.proofs if proof.helped), None)
    prescriptions = (helped.prescription,) if helped is not None else diagnosis.prescriptions[:1]
    for prescription in prescriptions:
        finding = next(f for f in diagnosis.findings if prescription in f.prescriptions)
        history = next((h for h in diagnosis.histories if h.name == finding.model), None)
        heading("The patch to apply" if helped is not None else "To try first, by hand")
        sys.stdout.write(code(history, prescription).strip("\n") + "\n")


def _say(line: str) -> None:
    print(f"triode doctor: {line}", file=sys.stderr, flush=True)


def _check_place(flag: str, path: Path | None) -> None:
    """Refuse now what could not be written after an hour of training."""
    if path is None or str(path) == STDOUT:
        return
    if not path.parent.is_dir():
        raise TriodeError(f"{flag} {path}: there is no folder {path.parent}.")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TriodeError(f"{flag} {path} cannot be written: it is a folder, or permission is missing.")
    if path.suffix == ".py":
        raise TriodeError(f"{flag} {path} would overwrite a Python file; is it the script?")


def _write(diagnosis: Diagnosis, html: Path | None, markdown: Path | None, json: str) -> None:
    """Write the files, each whole or not at all; before anything is printed, which a closed pipe may end."""
    from json import dumps

    from triode.bakeoff.storage.store import write_whole
    from triode.doctor import report

    if json == STDOUT:
        print_json(report.plain(diagnosis))
    elif json:
        write_whole(
            Path(json), dumps(report.plain(diagnosis), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )
    if html is not None:
        write_whole(html, report.html.page(diagnosis))
    if markdown is not None:
        write_whole(markdown, report.markdown(diagnosis))


@contextmanager
def _stdout_kept(wanted: bool) -> Iterator[None]:
    """Send what is printed to standard error instead, also by other processes, so that standard output has one JSON."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    try:
        number = sys.stdout.fileno()
        kept = os.dup(number)
    except (OSError, ValueError):  # standard output is no file of the system's
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        os.dup2(sys.stderr.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, number)
        os.close(kept)
