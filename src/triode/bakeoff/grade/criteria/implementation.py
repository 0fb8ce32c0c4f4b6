"""Correct implementation: seven activations, one architecture, every training at its end, and a log that is true."""

from __future__ import annotations

from triode.bakeoff.grade.evidence import Evidence, chapter_seven
from triode.bakeoff.grade.rerun import IMPOSSIBLE
from triode.bakeoff.grade.score import Criterion, Score, counted, listed

TRAINED, SAME, SHAPE = 14.0, 3.0, 3.0
"""Points for the trained activations, for one architecture, for one like the chapter's."""
DEEP = 4
"""Hidden layers from which a network shows what the chapter's five-layer one does."""


def judge(evidence: Evidence) -> Score:
    """Two points for each of the seven whose seeds all finished, three for one architecture, three for its shape."""
    seven = chapter_seven()
    complete = [name for name in seven if evidence.complete(name)]
    missing = [name for name in seven if name not in complete]
    said = [f"{len(complete)} of the chapter's 7 activations finished all {counted(evidence.seeds, 'seed')}."]
    if missing:
        said.append(f"Not finished: {listed(missing)}.")
    said += [f"It raised: trials/{key}." for key in evidence.failures[:3]]
    points = TRAINED * len(complete) / len(seven)
    hints = [f"train {listed(missing)} with every seed"] if missing else []

    settings = {cell.trial.setting.alone(learning_rate=1.0, weight_decay=0.0) for cell in evidence.cells}
    if evidence.spec is None:
        said.append("spec.toml cannot be used, so what was asked for is not known.")
        hints.append("hand in spec.toml as it was")
    elif len(settings) == 1:
        points += SAME * len(complete) / len(seven)
        said.append("All trials share every setting but the activation, the seed and what tuning chose.")
    elif settings:
        said.append(f"The trials have {len(settings)} different settings.")
        hints.append("use one architecture for all")
    shape = _shape(evidence)
    if shape:
        said.append(shape[1])
        points += shape[0] * len(complete) / len(seven)
        if shape[0] < SHAPE:
            hints.append(f"a plain network of at least {DEEP} hidden layers is what the chapter compares")

    if evidence.contradictions:
        said.append(
            f"{counted(len(evidence.contradictions), 'contradiction')} in the records: {evidence.contradictions[0]}"
        )
        hints.append("remove the records that contradict themselves and train them again")
    again = evidence.rerun
    if again is not None:
        said.append(again.sentence)
        if again.refuted:
            points = 0.0
            hints = ["hand in the directory as training left it"]
        elif again.verdict == IMPOSSIBLE:
            points /= 2
            hints.append("let a trial be trained again: say where the data is with --data-dir")
    return Score(points, tuple(said), "; ".join(hints))


def _shape(evidence: Evidence) -> tuple[float, str] | None:
    if not evidence.cells:
        return None
    setting = evidence.cells[0].trial.setting
    widths = "-".join(str(width) for width in setting.hidden)
    said = f"The network: {setting.model} with hidden widths {widths} on {setting.dataset}."
    if setting.model != "mlp":
        return 1.0, said
    return (SHAPE if len(setting.hidden) >= DEEP else 1.5), said


CRITERION = Criterion("implementation", "Correct implementation", 20, 1, judge)
