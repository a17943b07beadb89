"""Draw the test pictures that ship with the package, their item list and their attribution.

Half of them use artwork the demo model is trained on (fresh scenes, own seed), half use an artist it has never seen.
Writes ``seen/*.jpg``, ``unseen/*.jpg``, ``items.jsonl`` into ``sepm_eval/demo/pictures``.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from artwork_sets import ARTWORK, FACES
from scenes import Gallery, draw_scene

HERE = Path(__file__).parent


def main() -> None:
    """Draw and save everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artwork", type=Path, default=HERE / "artwork")
    parser.add_argument("--out", type=Path, default=HERE.parent / "sepm_eval" / "demo" / "pictures")
    parser.add_argument("--per-emotion", type=int, default=32, help="pictures of each emotion in each half")
    parser.add_argument("--seed", type=int, default=20260722)
    args = parser.parse_args()

    items = []
    for part, seen in (("seen", True), ("unseen", False)):
        (args.out / part).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([args.seed, seen])
        sets = [key for key, artwork in ARTWORK.items() if artwork.trained is seen]
        galleries = {key: Gallery.load(args.artwork / key) for key in sets}
        for emotion in FACES:
            for number in range(args.per_emotion):
                key = sets[number % len(sets)]
                name = f"{part}/{emotion}_{number:03d}"
                path = args.out / f"{name}.jpg"
                draw_scene(rng, galleries[key], emotion, vary=False).image.save(path, quality=88)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                items.append(
                    {
                        "id": name,
                        "image": f"{name}.jpg",
                        "label": emotion,
                        "artwork": key,
                        "seen": seen,
                        "sha256": digest,
                    }
                )
    text = "".join(json.dumps(item) + "\n" for item in items)
    (args.out / "items.jsonl").write_text(text, encoding="utf-8")
    print(f"{len(items)} pictures")


if __name__ == "__main__":
    main()
