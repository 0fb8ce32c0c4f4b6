"""Make the JavaScript that draws a report's charts: three pinned npm packages, checked and copied into the package.

    python tools/make_vega_bundle.py            # needs npm and a network; writes src/triode/bakeoff/report/assets/vega/
    python tools/make_vega_bundle.py --check    # needs neither: are the files there the pinned ones?

The packages come from https://registry.npmjs.org through `npm pack`; each archive must have the SHA-512 below
(npm's own `dist.integrity`), and each file taken from it the SHA-256 below. The only change made to a file is that its
last line, the name of a source map that is not shipped, is dropped. Their dependencies are compiled into the three
files, so the licences of all of them are gathered in LICENSES.txt.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src/triode/bakeoff/report/assets/vega"


@dataclass(frozen=True)
class Package:
    """An npm package, its version, the checksum of its archive, and the one file taken from it."""

    name: str
    version: str
    integrity: str
    file: str
    sha256: str


# Vega-Lite 6.5 asks for Vega ^6.4; Vega-Embed 7.3 takes any of either.
PACKAGES = (
    Package(
        "vega", "6.4.0",
        "rHXCq2LpEWCLMjXBEj7hocY9G0/i5TGYRayGGSj06VTF4+l2IG2Z7oeZKCjWbUh/7hTE/mVhbaOPB72wCElh6g==",
        "build/vega.min.js", "8f6a3587cf8d4f42c7e08120e3eb05d067e746d554e39d2dcf52acc0bd5ba28f",
    ),
    Package(
        "vega-lite", "6.5.0",
        "fMXF6s0MrIg0UTWnLIfeFtgSLzVhyzSKobzGrh5rhS+mL6FOYFG3m7ouJ4U23gj65EK+gl9FIIT5w7wLNaAzkA==",
        "build/vega-lite.min.js", "4f35867b8d0403eb7911ed57e474ae699df6fff1597831e5e098555fe6f06014",
    ),
    Package(
        "vega-embed", "7.3.0",
        "wQ8s5GaSzqoKgmRfbRolgBrjE2CP7ZKHXqH7NijxMqPjpdWxSs4Dn8tvp9g0giQvh2cK+3p56sxjWWM0wNngGw==",
        "build/vega-embed.min.js", "6719f03edf72beff23310ee56cd0f1a9ebbf7ddcc656d3e5cc2f9067ab835671",
    ),
)  # fmt: skip


def main() -> int:
    """Make the bundle, or with --check compare the one that is there with the checksums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="only compare the files that are there with the checksums"
    )
    if not parser.parse_args().check:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
    wrong = check()
    print("\n".join(wrong) or f"{TARGET}: every file is the pinned one")
    return 1 if wrong else 0


def check() -> list[str]:
    """A sentence for every bundled file that is missing or altered."""
    wrong = []
    for package in PACKAGES:
        path = TARGET / Path(package.file).name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
        if found != package.sha256:
            wrong.append(f"{path}: expected SHA-256 {package.sha256}, found {found}")
    return wrong


def make(folder: Path) -> None:
    """Fetch, verify and copy the three files, and gather the licences of what is compiled into them."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        subprocess.run(
            ["npm", "pack", "--silent", f"{package.name}@{package.version}"], cwd=folder, check=True
        )
        archive = folder / f"{package.name}-{package.version}.tgz"
        integrity = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if integrity != package.integrity:
            sys.exit(f"{archive.name}: expected SHA-512 {package.integrity}, found {integrity}")
        with tarfile.open(archive) as contents:
            member = contents.extractfile(f"package/{package.file}")
            assert member is not None
            text = member.read().decode("utf-8")
        (TARGET / Path(package.file).name).write_text(without_source_map(text), encoding="utf-8")
    (TARGET / "LICENSES.txt").write_text(licences(folder), encoding="utf-8")


def without_source_map(text: str) -> str:
    """The script without its source map's name, which a browser's developer tools would try to fetch."""
    lines = [line for line in text.splitlines() if not line.startswith("//# sourceMappingURL=")]
    return "\n".join(lines).strip() + "\n"


def licences(folder: Path) -> str:
    """The licence of every package that npm installs beside the three, for their files contain its code."""
    (folder / "package.json").write_text("{}")
    wanted = [f"{package.name}@{package.version}" for package in PACKAGES]
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *wanted],
        cwd=folder,
        check=True,
    )
    parts: dict[str, list[str]] = {}
    for path in sorted(folder.glob("node_modules/**/package.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        found = sorted(path.parent.glob("LICEN[SC]E*"))
        if found and "version" in about and not about["name"].startswith("@types/"):
            text = found[0].read_text(encoding="utf-8").strip()
            parts.setdefault(text, []).append(f"{about['name']} {about['version']} ({about.get('license')})")
    head = (
        "The JavaScript in this folder contains code from the packages below, each with its licence under it."
    )
    return (
        "\n\n".join(
            [
                head,
                *(
                    "=" * 78 + "\n" + "\n".join(names) + "\n" + "-" * 78 + "\n" + text
                    for text, names in parts.items()
                ),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
