"""Checks of who imports whom: the direction inside the package, and what may be loaded at import time.

Only imports that run when a module is imported count: those inside functions are lazy by intent, and those under
`if TYPE_CHECKING:` never run.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ORDER = (
    "errors",
    "expr",
    "notation",
    "parse",
    "calculus",
    "interval",
    "activation",
    "normalising",
    "functions",
    "catalogue",
    "",  # the package itself: its public names; everything after it is loaded when first used
    "kernels",
    "oracle",
    "analysis",
    "adapters",
    "curves",
    "plots",
    "bakeoff",
    "doctor",
    "cli",
    "__main__",
)
"""First parts of module names, each allowed to import those before it and itself."""

HOMES = {
    "numpy": ("",),
    "ml_dtypes": ("",),
    "llvmlite": ("kernels",),
    "mpmath": ("oracle",),
    "torch": ("adapters", "bakeoff", "doctor"),
    "matplotlib": ("plots", "bakeoff.report"),
    "scipy": ("bakeoff",),
    "sklearn": ("bakeoff",),
    "rich": ("cli", "bakeoff", "doctor"),
    "cyclopts": ("cli",),
    "tomli_w": ("cli", "bakeoff"),
}
"""Third-party packages and the modules that may import them at module level ("" is every module)."""

HEAVY = (
    "numba",
    "torch",
    "matplotlib",
    "scipy",
    "llvmlite",
    "rich",
    "cyclopts",
    "mpmath",
    "sympy",
    "pandas",
    "sklearn",
)
"""Packages that `import triode` must not load."""


def complaints(package: Path) -> list[str]:
    """One sentence for every import under the folder `package` that breaks the order or the homes."""
    name = package.name
    found = []
    for path in sorted(package.rglob("*.py")):
        module = _module(path, package)
        for line, target in _eager(path, package):
            top, _, rest = target.partition(".")
            place = f"{path.relative_to(package.parent)}:{line}"
            if top == name:
                found += _direction(place, module, rest)
            elif top not in sys.stdlib_module_names:
                found += _home(place, module, top)
    return found


def loaded_by_import(package: str, source: Path, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """The packages of `heavy` that a fresh interpreter has loaded after `import package` from the folder `source`."""
    code = f"import sys, {package}; print(*sorted({{m.partition('.')[0] for m in sys.modules}} & set({heavy!r})))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


def _direction(place: str, module: str, target: str) -> list[str]:
    mine, theirs = module.partition(".")[0], target.partition(".")[0]
    unknown = [part for part in (mine, theirs) if part not in ORDER]
    if unknown:
        return [f"{place}: {unknown[0]!r} has no place in tests/support/imports.py; add it to ORDER"]
    if ORDER.index(theirs) <= ORDER.index(mine):
        return []
    mine, theirs = (part or "the package itself" for part in (mine, theirs))
    return [f"{place}: {mine} must not import {theirs}, which stands above it"]


def _home(place: str, module: str, package: str) -> list[str]:
    homes = HOMES.get(package)
    if homes is None:
        return [
            f"{place}: {package} has no home in tests/support/imports.py; import it lazily or add it to HOMES"
        ]
    if any(home == "" or module == home or module.startswith(home + ".") for home in homes):
        return []
    return [f"{place}: {package} may be imported at module level only in {', '.join(homes)}"]


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _eager(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path, package)
            for alias in node.names:
                yield node.lineno, _resolved(base, alias.name, package)


def _base(node: ast.ImportFrom, path: Path, package: Path) -> str:
    if not node.level:
        return node.module or ""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    parts = folder.relative_to(package.parent).parts
    return ".".join([*parts, *([node.module] if node.module else [])])


def _resolved(base: str, name: str, package: Path) -> str:
    """`from triode import expr` imports a module, `from triode.expr import parse` a name in one."""
    if base.partition(".")[0] != package.name:
        return base
    candidate = package.parent.joinpath(*base.split("."), name)
    return f"{base}.{name}" if candidate.is_dir() or candidate.with_suffix(".py").is_file() else base


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs on import: not inside functions, not under `if TYPE_CHECKING`."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _statements(node.orelse)
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)
