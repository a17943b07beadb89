"""The emoji artwork of the demonstration: which packages, and which drawing stands for which emotion.

Each set is an npm package of SVG drawings (Iconify JSON) that states its artist and licence in its own
``info.json``. The version and the checksum of the tarball are pinned, so that a re-made picture set has the
same artwork. ``fluent`` is never trained on.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ArtworkSet:
    """One npm package with emoji drawings.

    Attributes:
        package: npm package name.
        version: npm package version.
        sha256: checksum of the tarball that ``npm pack`` writes.
        spdx: licence the package must state for its drawings.
        trained: whether the demo model sees this set in training.
    """

    package: str
    version: str
    sha256: str
    spdx: str
    trained: bool


ARTWORK: dict[str, ArtworkSet] = {
    "noto": ArtworkSet(
        "@iconify-json/noto",
        "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        "Apache-2.0",
        True,
    ),
    "noto-v1": ArtworkSet(
        "@iconify-json/noto-v1",
        "1.2.5",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        "Apache-2.0",
        True,
    ),
    "twemoji": ArtworkSet(
        "@iconify-json/twemoji",
        "1.2.5",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        "CC-BY-4.0",
        True,
    ),
    "emojione": ArtworkSet(
        "@iconify-json/emojione",
        "1.2.3",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        "CC-BY-4.0",
        True,
    ),
    "fluent": ArtworkSet(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        "MIT",
        False,
    ),
}

# Disjoint across emotions. A set may lack some of them (older emoji standards have fewer faces).
FACES: dict[str, tuple[str, ...]] = {
    "amusement": (
        "face-with-tears-of-joy",
        "rolling-on-the-floor-laughing",
        "grinning-squinting-face",
        "squinting-face-with-tongue",
        "winking-face-with-tongue",
    ),
    "anger": (
        "angry-face",
        "pouting-face",
        "face-with-symbols-on-mouth",
        "face-with-steam-from-nose",
        "angry-face-with-horns",
    ),
    "awe": (
        "astonished-face",
        "hushed-face",
        "face-with-open-mouth",
        "exploding-head",
        "flushed-face",
    ),
    "contentment": (
        "relieved-face",
        "slightly-smiling-face",
        "smiling-face-with-smiling-eyes",
        "smiling-face-with-halo",
        "hugging-face",
    ),
    "disgust": (
        "nauseated-face",
        "face-vomiting",
        "unamused-face",
        "face-with-rolling-eyes",
        "confounded-face",
    ),
    "excitement": (
        "star-struck",
        "partying-face",
        "smiling-face-with-heart-eyes",
        "grinning-face-with-big-eyes",
        "cowboy-hat-face",
    ),
    "fear": (
        "face-screaming-in-fear",
        "fearful-face",
        "anxious-face-with-sweat",
        "anguished-face",
        "grimacing-face",
    ),
    "sadness": (
        "crying-face",
        "loudly-crying-face",
        "pensive-face",
        "disappointed-face",
        "sad-but-relieved-face",
    ),
}

# Things without a face, drawn around the faces.
_THINGS = """
ant honeybee butterfly snail bug lady-beetle spiral-shell turtle tropical-fish fish blowfish octopus dolphin
spouting-whale rabbit rat ox ram rooster crocodile elephant two-hump-camel snake bird penguin shrimp crab
maple-leaf four-leaf-clover herb cactus palm-tree evergreen-tree deciduous-tree sunflower rose hibiscus tulip
cherry-blossom bouquet mushroom chestnut seedling red-apple green-apple pear tangerine lemon banana watermelon
grapes strawberry melon cherries peach pineapple tomato eggplant ear-of-corn hot-pepper bread cheese-wedge
meat-on-bone poultry-leg hamburger french-fries pizza hot-dog taco burrito popcorn rice-ball sushi cooked-rice
doughnut cookie birthday-cake shortcake candy lollipop chocolate-bar honey-pot hot-beverage wine-glass
cocktail-glass beer-mug soccer-ball basketball american-football baseball tennis volleyball trophy guitar
violin trumpet saxophone video-game game-die artist-palette balloon wrapped-gift ribbon crown top-hat umbrella
gem-stone key locked hammer wrench bell light-bulb flashlight candle books closed-book open-book newspaper
pencil paperclip scissors pushpin briefcase backpack handbag alarm-clock hourglass-done watch camera
television radio magnifying-glass-tilted-left battery laptop telephone electric-plug money-bag envelope
package automobile taxi bus fire-engine tractor bicycle locomotive airplane rocket sailboat anchor helicopter
house school hospital castle tent ferris-wheel fire droplet star crescent-moon cloud rainbow snowflake
running-shoe t-shirt jeans dress glasses lipstick ring boxing-glove bowling wind-chime crystal-ball
"""
DISTRACTORS: tuple[str, ...] = tuple(_THINGS.split())
