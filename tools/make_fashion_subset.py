"""Make the subset of Fashion-MNIST that Triode ships: 10,000 training and 2,000 test images.

    python tools/make_fashion_subset.py [SOURCE] [-o FILE] [--check]

SOURCE is a folder with the four official files (default: where Debian's package `dataset-fashion-mnist` puts
them). The images are the real ones, untouched: of each class, 1,000 of the official training part and 200 of
the official test part, drawn by a fixed stream of random bits and kept in the official order. Their official
indices are kept with them. `--check` writes nothing and says whether the shipped file holds exactly what this
script makes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triode.bakeoff.data import FASHION_SYSTEM_DIR, SUBSET_FILE, read_fashion_mnist

SEED = 20170825  # the day Fashion-MNIST was published
PER_CLASS = {"train": 1000, "test": 200}


def pick(labels: npt.NDArray[np.uint8], per_class: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of `per_class` examples of every class, in ascending order.

    Raw bits of PCG64 sort the examples: NumPy promises that this stream never changes, and promises nothing
    of the kind for `Generator.permutation`.
    """
    order = np.argsort(np.random.PCG64(seed).random_raw(labels.size), kind="stable")
    chosen = [order[labels[order] == label][:per_class] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def subset(source: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of the subset, by name."""
    full = read_fashion_mnist(source)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for offset, (part, per_class) in enumerate(PER_CLASS.items()):
        labels = getattr(full, f"{part}_targets")
        index = pick(labels, per_class, SEED + offset)
        arrays[f"{part}_images"] = getattr(full, f"{part}_inputs").reshape(len(labels), -1)[index]
        arrays[f"{part}_labels"] = labels[index]
        arrays[f"{part}_index"] = index.astype(np.uint16)
    return arrays


def archive(arrays: dict[str, npt.NDArray[np.generic]]) -> bytes:
    """An `.npz` file without a date or anything else that differs from one day to the next."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, array in arrays.items():
            body = BytesIO()
            np.lib.format.write_array(body, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            file.writestr(entry, body.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


def main() -> int:
    """Make the file, or check it; the exit status is 1 when the check fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=Path, default=FASHION_SYSTEM_DIR)
    parser.add_argument("-o", "--output", type=Path, default=SUBSET_FILE)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    arrays = subset(options.source)
    if options.check:
        with np.load(options.output, allow_pickle=False) as stored:
            same = set(stored.files) == set(arrays) and all(
                np.array_equal(stored[k], v) for k, v in arrays.items()
            )
        verdict = "holds" if same else "DOES NOT hold"
        print(f"{options.output} {verdict} what this script makes from {options.source}")
        return 0 if same else 1
    packed = archive(arrays)
    options.output.write_bytes(packed)
    print(f"{options.output}: {len(packed):,} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
