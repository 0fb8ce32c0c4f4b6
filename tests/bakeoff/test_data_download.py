"""Fashion-MNIST fetched: checked, all or nothing, and one sentence when it fails."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from triode.bakeoff import data
from triode.bakeoff.data import builtin, download
from triode.errors import TriodeError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No dataset on this machine, and an empty cache."""
    monkeypatch.setattr(builtin, "FASHION_SYSTEM_DIR", tmp_path / "no-debian")
    monkeypatch.setenv("TRIODE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fashion-mnist"


@pytest.fixture
def server(tmp_path: Path, folder: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of Fashion-MNIST on this machine, with the small images in place of the published ones."""
    home = tmp_path / "home"
    home.mkdir()
    pinned = {}
    for part, stem in data.IDX_FILES.items():
        source = folder / f"{stem}.gz" if (folder / f"{stem}.gz").exists() else folder / stem
        content = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
        (home / f"{stem}.gz").write_bytes(gzip.compress(content))
        pinned[part] = hashlib.sha256(content).hexdigest()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(home))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        fetch = download.fetch_fashion_mnist
        monkeypatch.setattr(
            download,
            "fetch_fashion_mnist",
            lambda place: fetch(place, f"http://127.0.0.1:{running.server_port}/"),
        )
        monkeypatch.setattr(builtin, "FASHION_SHA256", pinned)
        monkeypatch.setattr(download, "FASHION_SHA256", pinned)
        yield home
        running.shutdown()


def test_download_once_then_from_the_cache(server: Path, nowhere: Path) -> None:
    first = data.load("fashion-mnist")
    for path in server.iterdir():
        path.unlink()
    assert data.load("fashion-mnist").fingerprint == first.fingerprint
    assert sorted(path.name for path in nowhere.iterdir()) == sorted(
        f"{s}.gz" for s in data.IDX_FILES.values()
    )


@pytest.mark.parametrize("fault", ["altered", "truncated"])
def test_a_bad_download_is_refused_and_leaves_nothing(server: Path, nowhere: Path, fault: str) -> None:
    path = server / "t10k-labels-idx1-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-1] + b"\x01") if fault == "altered" else path.read_bytes()[:40])
    with pytest.raises(TriodeError, match="t10k-labels"):
        data.load("fashion-mnist")
    assert not [p for p in nowhere.iterdir() if p.name.startswith("t10k-labels")]
    assert not list(nowhere.glob("*.part"))


def test_without_a_network_one_sentence_says_what_to_do(server: Path) -> None:
    (server / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(TriodeError) as refusal:
        data.load("fashion-mnist")
    for word in ("the download failed", "404", "apt-get install dataset-fashion-mnist", "--data-dir"):
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_worker_never_downloads(server: Path) -> None:
    with pytest.raises(TriodeError, match="they are not on this machine"):
        data.load_cached("fashion-mnist")


def test_mnist_without_a_folder_says_what_it_looks_for(nowhere: Path) -> None:
    with pytest.raises(TriodeError, match=r"train-images-idx3-ubyte.*--data-dir"):
        data.load("mnist")
