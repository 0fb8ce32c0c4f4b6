"""A script under the doctor finds the process as Python would have made it, and ends as it would have ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from triode.doctor.launch import Command, run
from triode.errors import TriodeError

LAUNCH = (
    "import sys; from triode.doctor.launch import Command, run; words = sys.argv[1:]; m = words[:1] == ['-m'];"
    "words = words[m:]; outcome = run(Command(words[0], tuple(words[1:]), m));"
    "print('->', outcome.ending, outcome.status, outcome.error, flush=True)"
)
PROBE = """
\"\"\"Doc.\"\"\"
import os, sys
here = sys.modules["__main__"]
spec = __spec__ and __spec__.name
print(__name__, __file__, sys.argv, sys.path[0], spec, __package__, __doc__, here.__dict__ is globals())
print(type(__builtins__).__name__, __cached__, type(__loader__).__name__, __annotations__, os.getcwd())
print(sorted(n for n in globals()))
"""


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)


def launched(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-c", LAUNCH, *words)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("probe.py", "--lr", "0.1"),
        ("folder/probe.py",),
        ("linked.py",),
        ("folder",),
        ("-m", "probe", "-m", "--help"),
        ("-m", "package"),
        ("-m", "package.part"),
    ],
    ids=" ".join,
)
def test_the_process_looks_as_python_makes_it(words: tuple[str, ...], tmp_path: Path) -> None:
    for name in (
        "probe.py",
        "folder/probe.py",
        "folder/__main__.py",
        "package/__main__.py",
        "package/part.py",
    ):
        write(tmp_path / name, PROBE)
    write(tmp_path / "package" / "__init__.py", "")
    (tmp_path / "linked.py").symlink_to(tmp_path / "folder" / "probe.py")
    plain, under = python(tmp_path, *words), launched(tmp_path, *words)
    assert plain.stderr == under.stderr == ""
    assert under.stdout == plain.stdout + "-> finished 0 \n"


ENDINGS = {
    "raise": "def f():\n    1 / 0\nf()",
    "chained": "try:\n    int('x')\nexcept ValueError as e:\n    raise KeyError('y') from e",
    "syntax": "x = (1,\ny = 2",
    "text": "import sys; sys.exit('no data')",
    "number": "import sys; print('partial', end=''); sys.exit(7)",
    "hook": "import sys; sys.excepthook = lambda t, e, tb: print('mine:', e, tb.tb_lineno); raise OSError('disk')",
    "atexit": "import atexit; atexit.register(print, 'last'); f = atexit.register(print, 'first'); print('body')",
    "atexit fails": "import atexit\natexit.register(print, 'after')\nclass C:\n    def __call__(self): 1 / 0\n"
    "    def __repr__(self): return 'C'\natexit.register(C())",
    "unregistered": "import atexit\ndef f(): print('never')\natexit.register(f); atexit.unregister(f)",
    "redirected": "import sys\nsys.stdout = open('log.txt', 'w'); print('into the file')",
    "forked": "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(pid > 0)",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_it_ends_as_under_python(name: str, tmp_path: Path) -> None:
    write(tmp_path / "train.py", ENDINGS[name] + "\n")
    plain = python(tmp_path, "train.py")
    under = launched(tmp_path, "train.py")
    said, _, last = under.stdout.rpartition("-> ")
    assert said == plain.stdout
    assert under.stderr == plain.stderr
    ending, status = last.split()[:2]
    assert int(status) == plain.returncode
    assert ending == ("failed" if plain.returncode == 1 and name != "text" else "finished")


def test_workers_find_what_the_script_defines(tmp_path: Path) -> None:
    code = """
import multiprocessing as mp, pickle, sys
class Item:
    def __init__(self, n): self.n = n
def work(item): return Item(item.n + 1)
if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Item(3))).n == 3
    for method in ("fork", "spawn"):
        with mp.get_context(method).Pool(1) as pool:
            print(method, pool.map(work, [Item(1), Item(2)])[1].n, sys.argv)
"""
    write(tmp_path / "job.py", code)
    for words in (("job.py", "x"), ("-m", "job", "x")):
        done = launched(tmp_path, *words)
        assert done.stderr == ""
        assert [line.split()[:2] for line in done.stdout.splitlines()[:2]] == [["fork", "3"], ["spawn", "3"]]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_script_cleans_up_and_says_so(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    code = (
        "import time\ntry:\n    print('ready', flush=True)\n    while True:\n        try: time.sleep(60)\n"
        "        except Exception: pass\nfinally:\n    print('saved')\n"
    )
    write(tmp_path / "train.py", code)
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, "train.py"], cwd=tmp_path, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == f"saved\n-> interrupted {status} \n"


def test_a_signal_handler_of_the_scripts_own_is_left_alone(tmp_path: Path) -> None:
    code = "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('mine'))\nos.kill(os.getpid(), 15)\n"
    write(tmp_path / "train.py", code)
    assert launched(tmp_path, "train.py").stdout == "mine\n-> finished 0 \n"


def test_a_terminated_worker_dies_as_it_would(tmp_path: Path) -> None:
    code = (
        "import multiprocessing as mp, time\nif __name__ == '__main__':\n    p = mp.get_context('fork').Process("
        "target=time.sleep, args=(60,)); p.start(); time.sleep(0.2); p.terminate(); p.join(20); print(p.exitcode)\n"
    )
    write(tmp_path / "train.py", code)
    assert launched(tmp_path, "train.py").stdout == "-15\n-> finished 0 \n"


def test_variables_set_before_pytorch_is_imported_count(tmp_path: Path) -> None:
    # Read when the library is loaded: a doctor that imports PyTorch first would change how the script computes.
    code = "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport torch\nprint(torch.get_num_threads())\n"
    write(tmp_path / "train.py", code)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "MKL"))}
    words = [
        sys.executable,
        "-c",
        LAUNCH.replace("(words[1:]), m)", "(words[1:]), m), lambda: print('here')"),
    ]
    done = subprocess.run(
        [*words, "train.py"], cwd=tmp_path, capture_output=True, text=True, env=bare, check=False
    )
    assert done.stdout == "here\n1\n-> finished 0 \n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Command("nowhere.py"), "nowhere.py"),
        (Command("nowhere.at.all", module=True), "nowhere"),
        (Command(".", ()), "__main__.py"),
        (Command("..up", module=True), "..up"),
    ],
)
def test_what_cannot_be_run_is_refused(command: Command, expected: str, tmp_path: Path) -> None:
    before = (sys.argv, sys.path[:], sys.modules["__main__"])
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(TriodeError, match=expected.replace(".", r"\.")):
            run(command)
    finally:
        os.chdir(here)
    assert before == (sys.argv, sys.path, sys.modules["__main__"])


def test_the_doctors_own_frames_are_no_part_of_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from torch.overrides import TorchFunctionMode

    import triode.doctor

    own = write(
        tmp_path / "own.py",
        "def call(self, func, types, args=(), kwargs=None):\n    return func(*args, **(kwargs or {}))\n",
    )
    # A mode as the doctor's, whose code says that it is a file of the doctor's.
    names: dict[str, object] = {}
    pretended = str(Path(triode.doctor.__file__).parent / "observe" / "pretended.py")
    exec(compile(own.read_text(), pretended, "exec"), names)
    import linecache

    linecache.cache[pretended] = (1, None, own.read_text().splitlines(keepends=True), pretended)
    mode = type("Mode", (TorchFunctionMode,), {"__torch_function__": names["call"]})
    code = (
        "import torch\nimport torch.nn.functional as F\ndef model(x):\n"
        "    return F.relu(F.linear(x, torch.ones(4, 5)))\nF.hardswish\nmodel(torch.ones(2, 3))\n"
    )
    script = write(tmp_path / "train.py", code)
    outcome = run(Command(str(script)), mode)
    assert outcome.ending == "failed"
    trace = capsys.readouterr().err
    plain = python(tmp_path, str(script)).stderr
    assert trace == plain
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_fault_of_the_doctors_is_not_taken_for_the_scripts(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = write(
        tmp_path / "train.py", "try:\n    import torch\nexcept Exception:\n    print('swallowed')\n"
    )

    def broken() -> None:
        raise LookupError("the doctor's")

    with pytest.raises(LookupError, match="the doctor's"):
        run(Command(str(script)), broken)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nfinally:\n"
        "    print('busy', flush=True)\n    time.sleep(60)\n"
    )
    write(tmp_path / "train.py", code)
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, "train.py"], cwd=tmp_path, stdout=-1, stderr=-1, text=True
    )
    assert process.stdout is not None
    for line in ("ready\n", "busy\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    assert process.wait(timeout=20) == -signal.SIGTERM
    assert time.monotonic() - start < 10
    process.communicate()
