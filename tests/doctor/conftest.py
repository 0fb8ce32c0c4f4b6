"""What the tests of the doctor share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """A mistake of the doctor's own is raised here, where a user's training would go on without it."""
    torch = pytest.importorskip("torch")
    from triode.doctor.observe.watcher import Watcher

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Watcher.strict = True
    yield
    Watcher.strict = False
    torch.set_num_threads(threads)
