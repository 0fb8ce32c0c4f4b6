"""When a pass over the data begins: said by the caller, learnt from DataLoaders, or else after so many steps."""

from __future__ import annotations

from typing import Any

WINDOW = 200
"""Steps of a pass where nothing says what a pass over the data is; the first ones are shorter."""
FIRST = 8
"""Steps of the first of those, from which each is twice as long as the one before: units that the first updates have
killed spoke before, and in one long pass they would count as alive until its end."""


class Passes:
    """Counts passes. A DataLoader marks them if it is one that training steps have followed before."""

    def __init__(self) -> None:
        """Before the first step."""
        self.known = False
        """Whether passes are passes over the data."""
        self.number = 0
        self.steps = 0
        """Steps of the present one."""
        self._begun: int | None = None
        self._training: set[int] = set()

    def loader(self, dataset: Any) -> None:
        """A DataLoader over `dataset` begins; whether to train or to validate will be seen."""
        self._begun = id(dataset)

    def due(self) -> bool:
        """A step begins: whether it is the first of a new pass."""
        if self._begun is not None:
            key, self._begun = self._begun, None
            if self._training and key not in self._training:
                return False
            again = bool(self._training) and self.steps > 0
            self._training.add(key)
            self.known = self.known or again
            return again
        window = min(FIRST << min(self.number, 16), WINDOW)
        return not self.known and not self._training and self.steps >= window

    def close(self) -> bool:
        """The present pass is over; whether it had any step."""
        had = self.steps > 0
        self.number += had
        self.steps = 0
        return had
