"""`triode plot`: functions and their derivatives as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from triode.cli._output import console, parameters
from triode.errors import TriodeError


def run(
    *names: str,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("activations.png"),
    low: float = -5.0,
    high: float = 5.0,
    param: tuple[str, ...] = (),
    layout: str = "auto",
) -> None:
    """Draw activations and their derivatives side by side.

    Args:
        names: Names or aliases from `triode list`, or formulas as "name=formula"; none means the chapter's seven.
        out: File to write; its suffix (.png, .svg, .pdf) decides the format.
        low: Left end of the horizontal axis.
        high: Right end of the horizontal axis.
        param: A parameter as name=value, given to every activation that has it; repeat for more.
        layout: "together" (one panel of functions, one of derivatives), "grid" (a panel each), or "auto" (by number).

    Examples:
        triode plot -o activations.png
        triode plot relu gelu swish mish -o smooth.svg
        triode plot "tanhexp=z * tanh(exp(z))" gelu --low -3 --high 3 -o tanhexp.png
    """
    from triode import plots

    if out.suffix.lower() not in plots.FORMATS:
        raise TriodeError(
            f"--out {out} does not end in {', '.join(plots.FORMATS)}, so its format is not known."
        )
    if out.parent != Path() and not out.parent.is_dir():
        raise TriodeError(f"--out {out}: the folder {out.parent} does not exist.")
    figure = plots.figure(*names, low=low, high=high, parameters=parameters(param), layout=layout)
    plots.save(figure, out)
    console().print(f"{out}")
