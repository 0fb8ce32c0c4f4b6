"""Fetch Fashion-MNIST from its official home, checked and all or nothing."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from triode.bakeoff.data.builtin import FASHION_SHA256
from triode.bakeoff.data.idx import IDX_FILES, read_idx

HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
"""Zalando's own; it speaks no https, so the checksum is what makes the content trustworthy."""
SECONDS = 20.0
"""Without a byte for so long, the download has failed."""
LARGEST = 64 * 2**20


def fetch_fashion_mnist(folder: Path, home: str = HOME) -> None:
    """Download the four files into `folder`, each checked before it gets its name.

    A file already there is left alone. Raises `OSError` when the network or the disk fails, `TriodeError` when what
    arrives is not the published file.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        for part, stem in IDX_FILES.items():
            target = folder / f"{stem}.gz"
            if target.is_file():
                continue
            task = progress.add_task(f"Fashion-MNIST {target.name}", total=None)
            handle, unfinished = tempfile.mkstemp(prefix=f"{stem}.", suffix=".part", dir=folder)
            try:
                with (
                    os.fdopen(handle, "wb") as file,
                    urllib.request.urlopen(home + target.name, timeout=SECONDS) as reply,  # noqa: S310
                ):
                    progress.update(task, total=int(reply.headers.get("Content-Length") or 0) or None)
                    received = 0
                    while chunk := reply.read(1 << 16):
                        received += len(chunk)
                        if received > LARGEST:
                            raise OSError(f"{home + target.name} is longer than {LARGEST:,} bytes")
                        file.write(chunk)
                        progress.advance(task, len(chunk))
                # The checksum decides: a connection cut short can look like an ordinary end.
                read_idx(Path(unfinished), FASHION_SHA256[part])
                Path(unfinished).replace(target)
            except urllib.error.HTTPError as error:
                error.close()
                raise OSError(f"{home + target.name} answers {error.code} {error.reason}") from None
            except http.client.HTTPException as error:
                raise OSError(f"{home + target.name}: {error!r}") from error
            finally:
                Path(unfinished).unlink(missing_ok=True)
