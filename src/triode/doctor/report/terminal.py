"""The report in a terminal: pleasant at 80 columns, plain text in a pipe, plain letters where there are no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History
from triode.doctor.report import story
from triode.doctor.report.column import LETTERS, SIGNS, Fold, Health, Row, folded, rows
from triode.doctor.report.words import clean, number, percent, sentence, sparkline

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

WIDEST = 100
"""Columns of running text, at most."""
MOST = 18
"""Lines of the network's column, about."""
_SPELLINGS = {
    ord(letter): words
    for letter, words in zip("→–·…×≥≤’", ("->", "-", "|", "...", "x", ">=", "<=", "'"), strict=True)
}
STYLES: dict[Health, str] = {"well": "green", "watch": "yellow", "sick": "bold red", "unknown": "dim"}


def show(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Print the report.

    Args:
        diagnosis: What the doctor found.
        console: Where to; by default one on standard output, without colours in a pipe.

    Examples:
        >>> show(Diagnosis(checked=("dead_relu",)))
        Triode doctor
        <BLANKLINE>
        ✓ healthy: 1 rule checked, nothing to act on
        ...
    """
    from rich.console import Console

    screen = console or Console(highlight=False, emoji=False, markup=False)
    writer = _Writer(screen)
    writer.report(diagnosis)


class _Writer:
    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = min(console.width, WIDEST)
        try:
            "✓✗…→·▁█–×•".encode(console.encoding)
            self.plain = False
        except (UnicodeEncodeError, LookupError):
            self.plain = True
        self.signs = LETTERS if self.plain else SIGNS

    def report(self, diagnosis: Diagnosis) -> None:
        histories, many = diagnosis.histories, len(diagnosis.histories) > 1
        names = ", ".join(clean(history.name, 40) for history in histories)
        self.line([("Triode doctor", "bold"), (f"  {names}" if names else "", "")])
        for history in histories if not many else ():
            self.line([(story.about(history), "dim")])
        self.gap()
        health: Health = "sick" if diagnosis.findings else "well" if diagnosis.checked else "unknown"
        if not diagnosis.findings and any(history.exception for history in histories):
            health = "watch"
        self.item(self.signs[health], [(story.verdict(diagnosis), "bold")], STYLES[health])
        for line in story.errors(histories):
            self.item("", [(line, "")])
        for history in histories:
            self.network(diagnosis, history, many)
        told = story.causes(diagnosis)
        if told:
            self.heading("Findings")
            for i, one in enumerate(told):
                if i:
                    self.gap()
                self.finding(one, 0, many)
        self.proofs(diagnosis)
        if diagnosis.notes:
            self.heading("Notes")
            for note in diagnosis.notes:
                who = f"{note.model}: " if many and note.model else ""
                self.item(self.dot, [(f"{who}{note.text}", "")])
        self.checks(diagnosis)

    @property
    def dot(self) -> str:
        return "-" if self.plain else "•"

    def network(self, diagnosis: Diagnosis, history: History, named: bool) -> None:
        """The column of layers, and the loss below it."""
        from rich.table import Table

        self.heading(f"The network: {clean(history.name, 60)}" if named else "The network")
        if named:
            self.line([(story.about(history), "dim")])
        column = rows(diagnosis, history)
        if not column:
            self.item("", [("Nothing of it was seen running.", "dim")])
            return
        fields = [
            (title, field)
            for title, field in (
                ("dead", "dead"),
                ("saturated", "saturated"),
                ("gradient", "gradient"),
                ("update", "update"),
            )
            if any(getattr(row, field) is not None for row in column)
        ]
        table = Table(
            box=None, padding=(0, 2, 0, 0), show_header=bool(fields), header_style="dim", pad_edge=False
        )
        room = self.width - 5 - sum(max(6, len(title)) + 2 for title, _ in fields)
        names = min(max(len(row.name) for row in column), max(8, room // 3))
        whats = max(10, room - names - 2)
        table.add_column("", width=1)
        table.add_column("layer", no_wrap=True, width=max(names, 5))
        table.add_column("", no_wrap=True, max_width=whats, overflow="ellipsis")
        for title, _ in fields:
            table.add_column(title, justify="right", no_wrap=True, min_width=6)
        for one in folded(column, MOST):
            if isinstance(one, Fold):
                table.add_row(
                    self.text(self.signs[one.health], STYLES[one.health]),
                    self.text("...", "dim"),
                    self.text(one.words.split(",")[0], "dim"),
                    *(self.text(_range(one, field), "dim") for _, field in fields),
                )
                continue
            figures = [self.figure(one, field) for _, field in fields]
            what = " ".join([clean(one.what, 44), *one.functions[:4]]).strip()
            table.add_row(
                self.text(self.signs[one.health], STYLES[one.health]),
                self.text(clean(one.name, names), "bold" if one.health == "sick" else ""),
                self.text(what, "dim" if one.kind != "layer" else ""),
                *figures,
            )
        self.print(table)
        if history.losses and not self.plain:
            ends = f"{number(history.losses[0], 3)} to {number(history.losses[-1], 3)}"
            self.line(
                [("loss ", "dim"), (sparkline(history.losses, self.width - 30), ""), (f" {ends}", "dim")]
            )

    def figure(self, row: Row, field: str) -> Text:
        value = getattr(row, field)
        if value is None:
            return self.text("")
        if field in ("dead", "saturated"):
            style = "bold red" if value >= 0.5 else "yellow" if value >= 0.1 else ""
            return self.text(percent(value), style)
        return self.text(number(value), "bold red" if value == 0 or value != value else "")

    def finding(self, told: story.Told, depth: int, named: bool) -> None:
        one = told.finding
        indent = 2 * depth
        about = ", ".join([one.severity, one.confidence, *([one.model] if named and one.model else [])])
        self.item(self.signs["sick"], [(told.title, "bold"), (f"  ({about})", "dim")], STYLES["sick"], indent)
        self.item("", [(sentence(one.summary), "")], indent=indent)
        if told.hurts:
            self.item("", [(f"Why it hurts: {told.hurts}", "dim")], indent=indent)
        for line in one.evidence:
            self.item(self.dot, [(line, "")], indent=indent + 2)
        if told.prescriptions:
            self.item("", [("What to do, the best first:", "bold")], indent=indent)
        for i, advice in enumerate(told.prescriptions, 1):
            self.item(
                f"{i}.",
                [(advice.words, "bold"), (f" {advice.why}" if advice.why else "", "")],
                "",
                indent + 2,
            )
            # The code of the first is shown; the others are in the other reports, or one choice away.
            if i == 1 and advice.code:
                self.code(advice.code, indent + 5)
        if told.follow:
            self.item("", [("What follows from it:", "bold")], indent=indent)
            for deeper in told.follow:
                self.finding(deeper, depth + 1, named)

    def proofs(self, diagnosis: Diagnosis) -> None:
        trials = story.trials(diagnosis)
        if not trials:
            return
        self.heading("The cure and its proof")
        for trial in trials:
            health: Health = "well" if trial.helped else "sick"
            word = "helped" if trial.helped else "did not help"
            self.item(self.signs[health], [(f"{word}: {trial.words}", "bold")], STYLES[health])
            self.item("", [(" ".join(filter(None, (trial.sentence, trial.given))), "")])
            for name, curve in (("before", trial.before), ("after ", trial.after)):
                if curve:
                    drawn = (
                        ""
                        if self.plain
                        else sparkline(curve, self.width - 40, (*trial.before, *trial.after)) + " "
                    )
                    ends = f"{number(curve[0], 3)} to {number(curve[-1], 3)}"
                    self.item("", [(f"{name} ", "dim"), (drawn, ""), (f"{trial.measure} {ends}", "dim")])
            if trial.left:
                left = story.titles(trial.left)
                self.item("", [(f"Still found after it: {left}.", "")])

    def checks(self, diagnosis: Diagnosis) -> None:
        self.heading("What was checked")
        self.item("", [(story.checked(diagnosis), "")])
        for name, why in diagnosis.unchecked.items():
            self.item(self.signs["unknown"], [(f"not {name.replace('_', ' ')}: ", ""), (why, "")])
        for line in (*story.limits(diagnosis.histories), story.watching(diagnosis.histories)):
            if line:
                self.item("", [(line, "dim")])

    def heading(self, title: str) -> None:
        self.gap()
        self.line([(title, "bold cyan")])

    def gap(self) -> None:
        self.console.print()

    def text(self, words: str, style: str = "") -> Text:
        from rich.text import Text

        return Text(self.spelled(clean(words)) if words.strip() else words, style=style)

    def spelled(self, words: str) -> str:
        """The words in the letters that the terminal has."""
        if not self.plain:
            return words
        swapped = words.translate(_SPELLINGS)
        return swapped.encode(self.console.encoding, "replace").decode(self.console.encoding)

    def line(self, parts: Iterable[tuple[str, str]]) -> None:
        from rich.text import Text

        self.print(Text.assemble(*((self.spelled(words), style) for words, style in parts)))

    def item(self, mark: str, parts: Iterable[tuple[str, str]], style: str = "", indent: int = 0) -> None:
        """A paragraph that hangs beside its mark."""
        from rich.text import Text

        body = Text.assemble(*((self.spelled(_inner(words)), own) for words, own in parts))
        start = indent + max(1, len(mark)) + 1
        for i, line in enumerate(body.wrap(self.console, max(20, self.width - start), overflow="fold")):
            line.rstrip()
            before = Text(" " * indent + (mark if i == 0 else "").ljust(start - indent), style=style)
            self.print(before + line)

    def code(self, code: str, indent: int) -> None:
        from rich.text import Text

        for line in code.splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
            start = len(line) - len(line.lstrip())
            words = " " * (indent + start) + self.spelled(clean(line))
            self.print(Text(words, style=style, overflow="fold"))

    def print(self, what: RenderableType) -> None:
        self.console.print(what, width=self.width, highlight=False, markup=False, emoji=False)


def _inner(words: str) -> str:
    """Words without control characters, the spaces at their ends kept: they part them from what stands beside."""
    core = clean(words)
    if not core:
        return words if words.isspace() else ""
    left = " " * (len(words) - len(words.lstrip(" ")))
    return left + core + " " * (len(words) - len(words.rstrip(" ")))


def _range(fold: Fold, field: str) -> str:
    """The largest of a fold for shares, the least for the rest: what one would worry about."""
    values = [value for row in fold.rows if (value := getattr(row, field)) is not None]
    if not values:
        return ""
    if field not in ("dead", "saturated"):
        return number(min(values))
    return f"{'≤' if min(values) < max(values) else ''}{percent(max(values))}"
