"""Draw the training scenes once, at the size the model sees, with the share of every patch that a face covers.

Writes ``images.npy`` [N, S, S, 3], ``labels.npy`` [N] and ``cover.npy`` [N, patches] (0..255) into ``artwork/scenes``.
The model's own preprocessing is done here: pad to a square with the mean colour, then bicubic resize.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from artwork_sets import ARTWORK, FACES
from PIL import Image
from scenes import Gallery, draw_scene

HERE = Path(__file__).parent
IMAGE_SIZE, PATCH_SIZE = 112, 14
PAD_COLOUR = (122, 116, 104)
CHUNK = 500


def pad_square(image: Image.Image, colour: tuple[int, int, int] | int) -> Image.Image:
    """Centre the picture on a square of one colour."""
    side = max(image.size)
    square = Image.new(image.mode, (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def chunk(artwork: Path, seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw ``CHUNK`` scenes; the result depends on ``seed`` and ``number`` alone."""
    rng = np.random.default_rng([seed, number])
    galleries = [Gallery.load(artwork / key) for key, kind in ARTWORK.items() if kind.trained]
    emotions = list(FACES)
    grid = IMAGE_SIZE // PATCH_SIZE
    images = np.empty((CHUNK, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    labels = np.empty(CHUNK, np.int64)
    cover = np.empty((CHUNK, grid * grid), np.uint8)
    for i in range(CHUNK):
        labels[i] = i % len(emotions)
        gallery = galleries[rng.integers(len(galleries))]
        scene = draw_scene(rng, gallery, emotions[labels[i]], vary=rng.random() < 0.75)
        square = pad_square(scene.image, PAD_COLOUR)
        images[i] = np.asarray(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))
        cover[i] = np.asarray(pad_square(scene.mask, 0).resize((grid, grid), Image.Resampling.BOX)).reshape(-1)
    return images, labels, cover


def main() -> None:
    """Draw all chunks in parallel and save them in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artwork", type=Path, default=HERE / "artwork")
    parser.add_argument("--chunks", type=int, default=48, help=f"chunks of {CHUNK} scenes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    out = args.artwork / "scenes"
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers) as pool:
        jobs = [pool.submit(chunk, args.artwork, args.seed, number) for number in range(args.chunks)]
        parts = zip(*(job.result() for job in jobs), strict=True)
        for name, arrays in zip(("images", "labels", "cover"), parts, strict=True):
            np.save(out / f"{name}.npy", np.concatenate(arrays))
    print(f"{args.chunks * CHUNK} scenes")


if __name__ == "__main__":
    main()
