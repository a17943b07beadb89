"""Draw scenes: emoji faces of one emotion among other things on a cluttered background.

Shared by ``make_pictures.py`` (the test pictures) and ``train.py`` (the training scenes). Everything random comes
from the ``numpy`` generator that is passed in.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

SIDE = 224
SHAPES = ((SIDE, SIDE), (SIDE, SIDE * 3 // 4), (SIDE * 3 // 4, SIDE))
SHAPE_ODDS = (0.74, 0.13, 0.13)


@dataclass(frozen=True)
class Gallery:
    """The drawings of one artwork set: faces by emotion, and things."""

    faces: dict[str, list[Image.Image]]
    things: list[Image.Image]

    @classmethod
    def load(cls, folder: Path) -> "Gallery":
        """Read the PNG files that ``make_artwork.py`` wrote for one set."""

        def read(path: Path) -> list[Image.Image]:
            return [Image.open(file).convert("RGBA") for file in sorted(path.glob("*.png"))]

        faces = {path.name: read(path) for path in sorted((folder / "face").iterdir())}
        return cls(faces=faces, things=read(folder / "thing"))


@dataclass(frozen=True)
class Scene:
    """A picture and where its faces are (mask "L", 255 on a face)."""

    image: Image.Image
    mask: Image.Image


def noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Image.Image:
    """Smooth coloured noise with about ``cells`` blobs a side."""
    grid = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def stripes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Two colours in slanted stripes."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 50)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)[..., None] > 0
    return Image.fromarray(np.where(wave, *rng.integers(0, 256, (2, 3))).astype(np.uint8))


def background(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A blend of noise, stripes and outlined shapes."""
    image = noise(rng, size, int(rng.integers(2, 7)))
    if rng.random() < 0.5:
        image = Image.blend(image, stripes(rng, size), rng.uniform(0.1, 0.5))
    if rng.random() < 0.5:
        image = Image.blend(image, noise(rng, size, int(rng.integers(20, 80))), rng.uniform(0.1, 0.35))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        w, h = rng.uniform(0.05, 0.45, 2) * SIDE
        paint = pen.ellipse if rng.random() < 0.6 else pen.rectangle
        paint((x, y, x + w, y + h), fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    return ImageEnhance.Color(image).enhance(rng.uniform(0.3, 1.1))


def redraw(rng: np.random.Generator, sprite: Image.Image) -> Image.Image:
    """Vary a drawing's colours, sharpness and proportions, so that a model learns shapes and not one artist's hand."""
    alpha = sprite.getchannel("A")
    hue, saturation, brightness = sprite.convert("RGB").convert("HSV").split()
    shift = int(rng.normal(0, 9))
    hue = hue.point([(value + shift) % 256 for value in range(256)])
    image = Image.merge("HSV", (hue, saturation, brightness)).convert("RGB")
    for change, spread in ((ImageEnhance.Color, 0.45), (ImageEnhance.Contrast, 0.35), (ImageEnhance.Brightness, 0.2)):
        image = change(image).enhance(float(np.exp(rng.normal(0, spread))))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    image.putalpha(alpha)
    if rng.random() < 0.5:
        wide, high = (int(side * rng.uniform(0.8, 1.0)) for side in image.size)
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image


def place(rng: np.random.Generator, sprite: Image.Image, side: float, tilt: float) -> Image.Image:
    """Turn a drawing by a random angle and scale it to ``side`` pixels."""
    scale = side / max(sprite.size)
    sprite = sprite.resize([max(8, round(s * scale)) for s in sprite.size], Image.Resampling.BICUBIC)
    return sprite.rotate(rng.uniform(-tilt, tilt), Image.Resampling.BICUBIC, expand=True)


def put(
    rng: np.random.Generator, canvas: Image.Image, mask: Image.Image, sprite: Image.Image, face: bool, crowding: float
) -> None:
    """Paste a drawing where at most a share ``crowding`` of it lies on faces; give up after 12 tries."""
    for _ in range(12):
        x, y = (
            int(rng.integers(0, max(1, room - size + 1))) for room, size in zip(canvas.size, sprite.size, strict=True)
        )
        box = (x, y, x + sprite.width, y + sprite.height)
        alpha = sprite.getchannel("A")
        hidden = np.asarray(ImageChops.multiply(alpha, mask.crop(box)), dtype=float).sum()
        if hidden <= crowding * np.asarray(alpha, dtype=float).sum():
            canvas.paste(sprite, box[:2], sprite)
            mask.paste(255 if face else 0, box[:2], alpha)
            return


def draw_scene(rng: np.random.Generator, gallery: Gallery, emotion: str, *, vary: bool) -> Scene:
    """Draw one scene.

    Args:
        rng: source of everything random.
        gallery: the artwork set; one scene has one artist.
        emotion: all faces in the scene show this emotion.
        vary: redraw the artwork (training) or leave it as drawn (test).
    """
    size = SHAPES[rng.choice(len(SHAPES), p=SHAPE_ODDS)]
    canvas = background(rng, size)
    mask = Image.new("L", size)
    short = min(size)

    def thing() -> Image.Image:
        sprite = gallery.things[rng.integers(len(gallery.things))]
        return place(rng, redraw(rng, sprite) if vary else sprite, short * rng.uniform(0.12, 0.34), 40)

    def face() -> Image.Image:
        sprites = gallery.faces[emotion]
        sprite = sprites[rng.integers(len(sprites))]
        return place(rng, redraw(rng, sprite) if vary else sprite, short * rng.uniform(0.26, 0.52), 15)

    for _ in range(int(rng.integers(3, 9))):
        put(rng, canvas, mask, thing(), face=False, crowding=1.0)
    for _ in range(int(rng.integers(1, 4))):
        put(rng, canvas, mask, face(), face=True, crowding=0.1)
    for _ in range(int(rng.integers(0, 3))):
        put(rng, canvas, mask, thing(), face=False, crowding=0.15)
    return Scene(canvas, mask)
