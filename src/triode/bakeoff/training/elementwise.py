"""The activations of a stack of networks on one buffer: slice s of it belongs to network s and gets its own function.

On a processor the compiled kernels work on the memory itself, from addresses; elsewhere the formula is composed of
PyTorch's operations.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triode.bakeoff.training.watch import GRID, REACH

if TYPE_CHECKING:
    from triode.activation import Activation

FLOAT_BYTES = 4


class Elementwise:
    """f, f' and g f' for float32 buffers of shape (slices, ...), each slice contiguous and with its own activation."""

    def __init__(self, activations: Sequence[Activation]) -> None:
        """Neighbours with one activation share its calls."""
        self._runs: list[tuple[int, int, Activation, bytes]] = []
        start = 0
        for activation, same in groupby(activations):
            stop = start + len(list(same))
            defaults = activation.defaults()
            values = [defaults[parameter.name] for parameter in activation.parameters] or [0.0]
            self._runs.append((start, stop, activation, struct.pack(f"{len(values)}d", *values)))
            start = stop

    def value(self, z: Tensor, out: Tensor) -> None:
        """Write f(z) to `out`."""
        self._apply((), z, None, out)

    def slope(self, z: Tensor, out: Tensor) -> None:
        """Write f'(z) to `out`."""
        self._apply(("z",), z, None, out)

    def backward(self, z: Tensor, gradient: Tensor) -> None:
        """Multiply `gradient` by f'(z) where it lies, in one sweep."""
        self._apply(("z",), z, gradient, gradient)

    def _apply(self, variables: tuple[str, ...], z: Tensor, gradient: Tensor | None, out: Tensor) -> None:
        if not z.is_cpu:
            self._compose(variables, z, gradient, out)
            return
        from triode.kernels import dispatch

        arrays = (
            (("z", "float32"),) if gradient is None else (("z", "float32"), (dispatch.GRADIENT, "float32"))
        )
        size = z[0].numel()
        to, given = out.data_ptr(), [z.data_ptr()] + ([] if gradient is None else [gradient.data_ptr()])
        for start, stop, activation, scalars in self._runs:
            kernel, _ = dispatch.plan(activation, variables, arrays, "float32")
            offset = FLOAT_BYTES * size * start
            kernel(size * (stop - start), to + offset, *(address + offset for address in given), scalars)

    def _compose(self, variables: tuple[str, ...], z: Tensor, gradient: Tensor | None, out: Tensor) -> None:
        from triode.adapters.torch_operator import apply, key_of

        for start, stop, activation, scalars in self._runs:
            values = struct.unpack(f"{len(scalars) // 8}d", scalars)
            by = ",".join(variables)
            result = apply(key_of(activation, False), by, ("z",), values, z[start:stop])
            out[start:stop].copy_(result if gradient is None else result * gradient[start:stop])

    def steepest(self) -> Tensor:
        """Max |f'| on [-REACH, REACH] for each slice, float32 (slices,), on the processor."""
        grid = torch.linspace(-REACH, REACH, GRID)
        slices = self._runs[-1][1]
        z = grid.expand(slices, -1).contiguous()
        found = torch.empty_like(z)
        self.slope(z, found)
        return found.abs().amax(dim=1)
