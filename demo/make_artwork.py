"""Fetch the emoji packages with ``npm pack`` and draw the SVGs the scenes need as PNG files.

Writes ``artwork/<set>/face/<emotion>/<name>.png`` and ``artwork/<set>/thing/<name>.png`` beside this file, and
checks the tarball's checksum and the licence the package states. Needs npm and ``pip install resvg_py``.
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import resvg_py
from artwork_sets import ARTWORK, DISTRACTORS, FACES, ArtworkSet

HERE = Path(__file__).parent


def fetch(artwork: ArtworkSet, folder: Path) -> Path:
    """Download one package into ``folder`` unless it is there, and check it."""
    tarball = folder / f"{artwork.package.lstrip('@').replace('/', '-')}-{artwork.version}.tgz"
    if not tarball.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"{artwork.package}@{artwork.version}"], cwd=folder, check=True)
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != artwork.sha256:
        raise ValueError(f"{tarball.name} has checksum {digest}, expected {artwork.sha256}")
    return tarball


def member(tarball: Path, name: str) -> dict[str, Any]:
    """One JSON file of the package."""
    with tarfile.open(tarball) as tar:
        handle = tar.extractfile(f"package/{name}")
        assert handle is not None
        return json.load(handle)


def svg(icons: dict[str, Any], name: str) -> str | None:
    """The named drawing as an SVG document, or None if the set has no such drawing."""
    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


def draw(icons: dict[str, Any], name: str, out: Path, side: int) -> bool:
    """Write one drawing as a PNG with transparency; False if the set lacks it."""
    text = svg(icons, name)
    if text is None:
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=text, width=side, height=side)))
    return True


def main() -> None:
    """Fetch and draw every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "artwork")
    parser.add_argument("--side", type=int, default=128, help="pixels a side")
    args = parser.parse_args()
    for key, artwork in ARTWORK.items():
        tarball = fetch(artwork, args.out / "packages")
        stated = member(tarball, "info.json")["license"]["spdx"]
        if stated != artwork.spdx:
            raise ValueError(f"{artwork.package} states the licence {stated}, expected {artwork.spdx}")
        icons = member(tarball, "icons.json")
        faces = sum(
            draw(icons, name, args.out / key / "face" / emotion / f"{name}.png", args.side)
            for emotion, names in FACES.items()
            for name in names
        )
        things = sum(draw(icons, name, args.out / key / "thing" / f"{name}.png", args.side) for name in DISTRACTORS)
        print(f"{key}: {faces} faces, {things} things, {stated}")


if __name__ == "__main__":
    main()
