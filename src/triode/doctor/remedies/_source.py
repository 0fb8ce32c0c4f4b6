"""The user's own source as text with a syntax tree: one call is found and changed, everything else stays as it is.

Nothing is run and no file is written; what cannot be found for certain raises LookupError.
"""

from __future__ import annotations

import ast
import difflib
import linecache
from collections.abc import Iterator
from pathlib import Path

SPELLED = {
    "relu": ("ReLU()", "F.relu({})"),
    "leaky_relu": ("LeakyReLU(0.01)", "F.leaky_relu({}, 0.01)"),
    "prelu": ("PReLU()", ""),
    "elu": ("ELU()", "F.elu({})"),
    "selu": ("SELU()", "F.selu({})"),
    "gelu": ("GELU()", "F.gelu({})"),
    "swish": ("SiLU()", "F.silu({})"),
    "silu": ("SiLU()", "F.silu({})"),
    "mish": ("Mish()", "F.mish({})"),
    "softplus": ("Softplus()", "F.softplus({})"),
    "tanh": ("Tanh()", "torch.tanh({})"),
    "sigmoid": ("Sigmoid()", "torch.sigmoid({})"),
    "softmax": ("Softmax(dim=1)", "torch.softmax({}, dim=1)"),
    "log_softmax": ("LogSoftmax(dim=1)", "torch.log_softmax({}, dim=1)"),
    "identity": ("Identity()", "{}"),
}
"""Constructor in torch.nn and call of each function; "" where a call needs a module that holds parameters."""


def spelled(function: str, dim: int = 1) -> tuple[str, str]:
    """How an activation is written: constructor and call.

    >>> spelled("leaky_relu")
    ('nn.LeakyReLU(0.01)', 'F.leaky_relu({}, 0.01)')
    """
    if function not in SPELLED:
        return f"triode.torch.Activation({function!r})", f"triode.{function}({{}})"
    module, call = (text.replace("dim=1", f"dim={dim}") for text in SPELLED[function])
    return f"nn.{module}", call or "self.prelu({})"


class Source:
    """One file and the changes to it."""

    def __init__(self, path: str, text: str) -> None:
        """Parse `text`, which need not be on disk."""
        self.path, self.text = path, text
        self.tree = ast.parse(text)
        self.lines = text.splitlines(keepends=True)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))
        self._edits: dict[tuple[int, int], str] = {}

    def offset(self, line: int, column: int) -> int:
        """Place in the text of a line and a column in bytes, as the syntax tree counts."""
        return self._starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """From where to where a node stands."""
        end_line, end_column = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return self.offset(node.lineno, node.col_offset), self.offset(end_line, end_column)  # type: ignore[attr-defined]

    def text_of(self, node: ast.AST) -> str:
        """The node as it is written."""
        start, end = self.span(node)
        return self.text[start:end]

    def put(self, start: int, end: int, text: str) -> None:
        """Write `text` over a span; twice the same is once."""
        for (a, b), other in self._edits.items():
            if (a, b, other) != (start, end, text) and a < end and start < b:
                raise LookupError("two changes meet")
        old = self._edits.get((start, end), "")
        if start == end and old and not (old == text and text.endswith("\n")):
            # Lines are added one after another; of two calls that begin at one place the outer is changed last.
            text = old + text if text.endswith("\n") else text + old
        self._edits[start, end] = text

    def replace(self, node: ast.AST, text: str) -> None:
        """Write `text` in the place of a node."""
        self.put(*self.span(node), text)

    def wrap(self, node: ast.AST, inner: ast.AST, template: str) -> None:
        """Write `template` around what is left of a node: the part `inner` of it, which may change as well."""
        before, _, after = template.partition("{}")
        (start, end), (first, last) = self.span(node), self.span(inner)
        self.put(start, first, before)
        self.put(last, end, after)

    def append_argument(self, call: ast.Call, text: str) -> None:
        """Add an argument to a call."""
        end = self.span(call)[1] - 1
        last = max((self.span(each)[1] for each in (*call.args, *call.keywords)), default=0)
        if last:
            self.put(last, last, f", {text}")
        else:
            self.put(end, end, text)

    def rename(self, call: ast.Call, name: str, module: str) -> None:
        """Call another function of the same module."""
        if isinstance(call.func, ast.Attribute):
            end = self.span(call.func)[1]
            self.put(end - len(call.func.attr), end, name)
        else:
            self.replace(call.func, f"{self.module(module)}.{name}")

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that a node is part of."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def insert_before(self, statement: ast.stmt, *lines: str) -> None:
        """Put lines before a statement, as deep as it."""
        indent = self._indent(statement)
        start = self._starts[statement.lineno - 1]
        self.put(start, start, "".join(f"{indent}{line}\n" for line in lines))

    def insert_after(self, statement: ast.stmt, *lines: str) -> None:
        """Put lines after a statement, as deep as it."""
        indent = self._indent(statement)
        last = statement.end_lineno or statement.lineno
        end = self._starts[last]
        ended = self.lines[last - 1].endswith("\n")
        self.put(end, end, ("" if ended else "\n") + "".join(f"{indent}{line}\n" for line in lines))

    def _indent(self, statement: ast.stmt) -> str:
        before = self.lines[statement.lineno - 1].encode()[: statement.col_offset].decode()
        if before.strip():
            raise LookupError("two statements on a line")
        return before

    def module(self, name: str) -> str:
        """How the file calls a module such as torch.nn; an import is added where it has none."""
        known: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    known[each.name if each.asname else each.name.partition(".")[0]] = (
                        each.asname or each.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for each in node.names:
                    known[f"{node.module}.{each.name}"] = each.asname or each.name
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            alias = known.get(".".join(parts[:length]))
            if alias:
                return ".".join([alias, *parts[length:]])
        imports = [node for node in self.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if not imports:
            raise LookupError("a file without imports")
        self.insert_after(imports[-1], "import torch")
        return name

    def local(self, template: str) -> str:
        """A template of `SPELLED` with the file's own names of modules."""
        if template.startswith("F."):
            template = self.module("torch.nn.functional") + template[1:]
        elif template.startswith("torch."):
            template = self.module("torch") + template[5:]
        elif template.startswith("nn."):
            template = self.module("torch.nn") + template[2:]
        return template

    @property
    def result(self) -> str:
        """The text with all changes."""
        text = self.text
        for (start, end), new in sorted(self._edits.items(), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def diff(self) -> str:
        """The changes as a unified diff; LookupError if the result would not be Python any more."""
        if not self._edits:
            return ""
        after = self.result
        try:
            ast.parse(after)
        except SyntaxError:
            raise LookupError("the change does not parse") from None
        name = Path(self.path)
        try:
            name = name.resolve().relative_to(Path.cwd())
        except ValueError:
            name = Path(name.name)
        lines = difflib.unified_diff(
            self.lines, after.splitlines(keepends=True), f"a/{name.as_posix()}", f"b/{name.as_posix()}"
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


def load(path: str) -> Source | None:
    """The source of a file, or of text that only Python's cache of lines knows; None if there is none."""
    linecache.checkcache(path)
    lines = linecache.getlines(path)
    if not lines:
        return None
    try:
        return Source(path, "".join(lines))
    except (SyntaxError, ValueError):
        return None


def called(call: ast.Call) -> str:
    """The last part of a called name: relu for F.relu(x), x.relu() and relu(x)."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call in a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))
