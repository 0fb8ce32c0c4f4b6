"""What a path or `module:loader` stands for, by what lies there."""

from __future__ import annotations

from pathlib import Path

from triode.bakeoff.data.arrays import has_npy, read_npy_folder, read_npz
from triode.bakeoff.data.assemble import from_arrays
from triode.bakeoff.data.builtin import BUILT_IN
from triode.bakeoff.data.dataset import Dataset
from triode.bakeoff.data.idx import has_any, read_four
from triode.bakeoff.data.loader import from_loader
from triode.bakeoff.data.pictures import has_pictures, read_pictures
from triode.bakeoff.data.table import read_tables
from triode.bakeoff.data.text import read_text
from triode.bakeoff.setting import IMPORTABLE
from triode.errors import TriodeError, nearest


def load_found(name: str, data_dir: Path | None, task: str, content: bool) -> Dataset:
    """The data set at a path, from here or from `data_dir`, or from `module:loader`.

    Args:
        name: What the user wrote.
        data_dir: Folder in which a path is looked for when it is not found from here; passed on to a loader.
        task: classification, regression, next-character, or auto.
        content: Whether every number of a large mapped file is checked.

    Returns:
        The data set.

    Raises:
        TriodeError: Nothing is there, or it is in no form that is known, or it is damaged.
    """
    for path in (Path(name), data_dir / name if data_dir else None):
        if path is not None and path.exists():
            return _at(name, path, task, content)
    if IMPORTABLE.fullmatch(name):
        return from_loader(name, data_dir, task, content)
    raise TriodeError(
        f"dataset = {name!r} is not one of {', '.join(BUILT_IN)}, nor a file or folder in {data_dir or Path.cwd()}, "
        f"nor module:loader{nearest(name, BUILT_IN) or '.'}"
    )


def _at(name: str, path: Path, task: str, content: bool) -> Dataset:
    if path.is_dir():
        return _folder(name, path, task, content)
    suffix = path.suffix.lower()
    if task == "next-character" or suffix == ".txt":
        if task not in ("auto", "next-character"):
            raise TriodeError(f"task = {task!r} does not fit {path}, a text: its task is next-character.")
        return read_text(name, path)
    if suffix == ".npz":
        return from_arrays(name, *read_npz(path), task=task, content=content)
    if suffix == ".csv":
        return read_tables(name, path, None, task)
    if suffix in (".npy", ".gz") or path.name.endswith("-ubyte"):
        raise TriodeError(f"{path} is one file of several: name the folder in which they lie together.")
    raise TriodeError(
        f"{path} is of a kind that is not read: .npz, .csv and .txt are, and any text file with the task "
        "next-character."
    )


def _folder(name: str, path: Path, task: str, content: bool) -> Dataset:
    if task == "next-character":
        raise TriodeError(f"{path} is a folder, and the task next-character needs one text file.")
    if has_any(path):
        arrays = read_four(str(path), path)
        if task == "regression":
            return from_arrays(name, *arrays, task=task, content=content)
        return from_arrays(name, *arrays, task="classification", content=content)
    if has_npy(path):
        return from_arrays(name, *read_npy_folder(path), task=task, content=content)
    if (path / "train.csv").is_file():
        test = path / "test.csv"
        return read_tables(name, path / "train.csv", test if test.is_file() else None, task)
    if has_pictures(path):
        if task == "regression":
            raise TriodeError(f"task = {task!r} does not fit {path}, a folder of images for each class.")
        return read_pictures(name, path)
    raise TriodeError(
        f"{path} holds no data in a form that is read: the four IDX files of MNIST, train_inputs.npy and its fellows, "
        "train.csv, or a folder of .png or .jpg images for each class."
    )
