"""Miniature releases in the exact official layouts, quirks included."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sepm_eval.emotions import MIKELS


def emoset_release(root: Path, per_class: int = 2) -> Path:
    """EmoSet-118K: test.json with rows of three and of four elements, image/<emotion>/<emotion>_NNNNN.jpg."""
    folder = root / "EmoSet-118K"
    rows = []
    for number in range(per_class):
        for shade, label in enumerate(MIKELS):
            name = f"{label}_{number:05d}"
            image = folder / "image" / label / f"{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30 + number), (shade * 30, number * 60, 90)).save(image)
            row = [label, f"image/{label}/{name}.jpg", f"annotation/{label}/{name}.json"]
            rows.append([label, name, *row[1:]] if number else row)
    (folder / "test.json").write_text(json.dumps(rows))
    return folder
