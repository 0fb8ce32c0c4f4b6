"""A text as a data set: its characters by number, the last tenth for testing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triode.bakeoff.data.check import check
from triode.bakeoff.data.dataset import Dataset
from triode.bakeoff.data.fingerprint import fingerprint
from triode.bakeoff.data.idx import LARGEST_FILE
from triode.errors import TriodeError

LARGEST_ALPHABET = 65_536
USUAL_ALPHABET = 1_000
"""An alphabet beyond this is refused unless each character occurs `OFTEN` times on average, as in Chinese prose."""
OFTEN = 50
_CODE_POINTS = 0x110000


def read_text(name: str, path: Path) -> Dataset:
    """A data set for predicting the next character of a text.

    The alphabet is the characters of the whole text, sorted by code point; the last tenth is the test part. A byte
    order mark is dropped, and the line ends of Windows are read as those of Unix.

    Args:
        name: What the user calls the data.
        path: A file of UTF-8 text.

    Returns:
        The data set; its inputs are a row of characters' numbers, and its targets are the same array.

    Raises:
        TriodeError: The file is not a text in UTF-8, too large, too short, or of too many different characters.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise TriodeError(f"{path} has {size:,} bytes; texts of up to {LARGEST_FILE:,} are read.")
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TriodeError(
            f"{path} is not UTF-8 text (byte {error.start:,} is {error.object[error.start]:#04x}); it is in another "
            "encoding or no text at all."
        ) from error
    codes = np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
    present = np.zeros(_CODE_POINTS, bool)
    present[codes] = True
    alphabet = np.flatnonzero(present)
    _check_alphabet(path, len(alphabet), len(codes))
    numbers = np.cumsum(present) - 1
    kind = np.uint8 if len(alphabet) <= 256 else np.uint16
    characters = numbers.astype(kind)[codes]
    test = len(characters) // 10
    train_part, test_part = characters[: len(characters) - test], characters[len(characters) - test :]
    labels = tuple(map(chr, alphabet))
    data = Dataset(
        name,
        "next-character",
        train_part,
        train_part,
        test_part,
        test_part,
        shape=(),
        outputs=len(alphabet),
        fingerprint=fingerprint([train_part, test_part], "next-character", labels),
        labels=labels,
    )
    return check(data)


def _check_alphabet(path: Path, letters: int, characters: int) -> None:
    rare = letters > USUAL_ALPHABET and characters < OFTEN * letters
    if letters > LARGEST_ALPHABET or rare:
        raise TriodeError(
            f"{path} has {letters:,} different characters in {characters:,}, too few examples of each; a file that is "
            "no plain text, or a mixture of many scripts, is the likely cause."
        )
