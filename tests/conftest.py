"""Shared fixtures: the oracle checkpoints, the demo model, and a backbone that says what a test tells it to."""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may depend on a network
# The models are tiny, and as many workers run as there are cores: threads would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # nor on how wide a screen its process was told it has: rich takes that once

import numpy as np
import PIL
import pytest
import torch
from hypothesis import settings
from packaging.version import Version
from PIL import Image

from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.backbone.interface import Block, PictureTokens, Reading, VisualTokens, Written

settings.register_profile("sepm_eval", deadline=None)  # no test may depend on how fast a machine is
settings.load_profile("sepm_eval")

ORACLES = Path(__file__).parent / "oracles"
OLD_PILLOW = Version(PIL.__version__) < Version(
    "13"
)  # resizes some tall pictures otherwise than 13, see oracles/README.md


# Files whose tests are long. Workers begin with them, or one would end long after the other.
LONGEST = (
    *("test_pairs", "test_vlmevalkit", "test_sepm_hf", "test_lmms_eval", "test_outside_package", "test_processes"),
    *("test_plan_folder", "test_interruption", "test_run", "test_matrix", "test_dan", "test_page"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


def pytest_collection_finish() -> None:
    """What is there by now stays: no collection looks through it again (lmms-eval makes two of each evaluation)."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, then read the diff")


class Oracle:
    """The arrays and facts of one oracle folder."""

    def __init__(self, name: str) -> None:
        self.folder = ORACLES / name
        self._arrays = np.load(self.folder / "oracle.npz")
        self.meta = json.loads((self.folder / "meta.json").read_text())

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def pixels(self, name: str) -> np.ndarray:
        """Pixels as the original processor gives them with the Pillow that is installed."""
        found = self[name].copy()
        if OLD_PILLOW:
            with np.load(ORACLES / "pixels_before_pillow_13.npz") as before:
                found[1] = before.get(f"{self.folder.name}/{name}", found[1])
        return found

    @property
    def images(self) -> list[Image.Image]:
        return [Image.fromarray(self[f"image_{i}"]) for i in range(3)]


@pytest.fixture(scope="session")
def llava_oracle() -> Oracle:
    return Oracle("llava15_tiny")


@pytest.fixture(scope="session")
def sepm_oracle() -> Oracle:
    return Oracle("sepm_reference")


@pytest.fixture(scope="session")
def stage_one_question() -> str:
    return json.loads((ORACLES / "real_tokenizer_ids.json").read_text())["questions"]["stage1"]


@pytest.fixture(scope="session", params=["hf", "original"])
def tiny_llava(request):
    """The oracle checkpoint in either layout."""
    from sepm_eval import load_backbone

    return load_backbone("llava", str(ORACLES / "llava15_tiny" / request.param), device="cpu")


@pytest.fixture(scope="session")
def vila_oracle() -> Oracle:
    return Oracle("vila15_tiny")


@pytest.fixture(scope="session")
def tiny_vila():
    from sepm_eval import load_backbone

    return load_backbone("vila", str(ORACLES / "vila15_tiny" / "checkpoint"), device="cpu")


@pytest.fixture
def see_pixels(monkeypatch):
    """What a backbone sees of stored pixels: whatever Pillow resizes, the numbers behind them are the original's."""

    def see(backbone, pixels: np.ndarray) -> VisualTokens:
        with monkeypatch.context() as patched:
            patched.setattr(backbone, "_prepared_pixels", lambda images, side: torch.from_numpy(pixels))
            return backbone.see([Image.new("RGB", (1, 1))] * len(pixels))

    return see


@pytest.fixture(scope="session")
def demo_backbone():
    from sepm_eval import load_backbone

    return load_backbone("llava", "demo", device="cpu")


@pytest.fixture(scope="session", autouse=True)
def a_clip_for_every_tower():
    """In place of CDPruner's default CLIP, which no test may download: the oracle's, for towers of any width."""
    import sepm_eval.backbone.paired_clip as module
    import sepm_eval.methods.needs as needs
    from sepm_eval.backbone.checkpoints import find_checkpoint
    from sepm_eval.methods.cdpruner import CLIP

    class AnyWidth(module.PairedClip):
        def of_features(self, features):
            width = len(self._norm)
            return super().of_features(
                torch.nn.functional.pad(features, (0, max(width - features.shape[1], 0)))[:, :width]
            )

    known, revision = module.paired_clip, needs.checkpoint_revision
    with pytest.MonkeyPatch.context() as patch:
        tiny = AnyWidth(find_checkpoint(str(ORACLES / "cdpruner" / "clip_n16")), "cpu")
        patch.setattr(
            module, "paired_clip", lambda clip, device: tiny if clip.startswith(CLIP) else known(clip, device)
        )
        patch.setattr(needs, "checkpoint_revision", lambda place: place if place.startswith(CLIP) else revision(place))
        yield


@pytest.fixture(scope="session")
def browser():
    """Chromium without a screen, which finds no machine but this one; without it the tests are skipped."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no Chromium with its driver (apt: chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"),
        "--host-resolver-rules=MAP * 0.0.0.0, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield started
    started.quit()


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (40, 30), (200, 30, 90))


def stacked(visual: VisualTokens) -> torch.Tensor:
    """[B, N_v, D], of pictures that have equally many tokens."""
    return torch.stack([picture.features for picture in visual.pictures])


class ScriptedBackbone:
    """A backbone whose probabilities a test sets; it remembers what it was asked.

    ``says`` maps a prompt to probabilities of tokens: letters, or any other text for an answer that is no letter.
    """

    name, revision, settings, supports = "scripted", "none", {"dtype": "float32"}, ABILITIES
    visual_tokens = 10

    def __init__(self, says, significance=None) -> None:
        self._says = says
        self._significance = significance
        self.asked: list[str] = []
        self.kept: list[list[int] | None] = []
        self.seen = self.prepared = 0

    def prepare(self, image: Image.Image) -> None:
        self.prepared += 1

    def see(self, images: Sequence[Image.Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        self.seen += len(images)
        count = round(self.visual_tokens * side**2)
        blocks = [(Block((0, 0, *image.size), 1, count),) for image in images]
        more = {"class_attention": torch.ones(count), "tower_features": torch.zeros(count, 48)} if tower else {}
        return VisualTokens(tuple(PictureTokens(torch.zeros(count, 2), block, more) for block in blocks))

    def read(self, prompts, visual, *, keep=None, probe=None, prefix=None, **more) -> Reading:
        rows, self._texts = [], []
        for i, prompt in enumerate(prompts):
            self.asked.append(prompt)
            self.kept.append(None if keep is None else keep[i].nonzero().flatten().tolist())
            if probe is not None and (probe if isinstance(probe, str) else probe[i]) not in prompt:
                raise ValueError(probe)
            said = self._says(prompt if isinstance(prompt, str) else prompt[-1])
            row = torch.full((40,), 1e-9)
            for text, probability in said.items():
                row[self._token(text)] = probability
            rows.append(row.log())
            self._texts.append(max(said, key=said.get))
        attention = None
        if probe is not None:
            rated = self._significance or list(range(self.visual_tokens))
            attention = [torch.tensor(rated).float() for _ in prompts]
        return Reading(torch.stack(rows), attention, None, [])

    def write(self, reading, max_new_tokens, rows=None, *, tails=False) -> list[Written]:
        texts = [self._texts[i] for i in (rows if rows is not None else range(len(self._texts)))]
        return [Written(text, len(text.split())) for text in texts]

    def letter_ids(self, letters: str) -> list[int]:
        return [self._token(letter) for letter in letters]

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[self._token(character) for character in text] for text in texts]

    @staticmethod
    def _token(text: str) -> int:
        """26 letters, ten digits, and one for every other text."""
        if len(text) != 1:
            return 39
        return 26 + int(text) if text.isdigit() else ord(text) - ord("A")


@pytest.fixture
def scripted():
    return ScriptedBackbone


@pytest.fixture
def flash(monkeypatch):
    """A stand-in for FlashAttention 2, which needs a GPU: what transformers' wrapper around it hands over."""
    from transformers import AttentionInterface, AttentionMaskInterface

    called = []

    def kernel(query, key, value, attention_mask, *, query_length, is_causal, softmax_scale, **more):
        assert more["attn_implementation"] == "flash_attention_2", "the kernel is chosen by this name"
        assert "position_ids" not in more, "gaps between positions would be taken for several prompts in a row"
        assert attention_mask is None or attention_mask.ndim == 2
        called.append(attention_mask)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        length = key.shape[2]
        seen = torch.ones(query_length, length, dtype=torch.bool)
        if is_causal:
            seen = seen.tril(length - query_length)
        if attention_mask is not None:
            seen = (seen & attention_mask.bool()[:, None, None, :]) | torch.eye(length, dtype=torch.bool)[
                -query_length:
            ]
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, seen, scale=softmax_scale)
        return mixed.transpose(1, 2)

    monkeypatch.setattr("transformers.integrations.flash_attention._flash_attention_forward", kernel)
    monkeypatch.setattr("transformers.modeling_utils.lazy_import_flash_attention", lambda *_, **__: None)
    monkeypatch.setattr("transformers.PreTrainedModel._flash_attn_can_dispatch", lambda *_, **__: True)
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr("sepm_eval.model_wrappers._placement._check_attention", lambda loading: None)
    for table in (AttentionInterface, AttentionMaskInterface):  # what stood there before
        monkeypatch.setattr(table, "_global_mapping", dict(table._global_mapping))
    return called


@pytest.fixture(scope="module", params=["llava", "vila"])
def family(request):
    """The tiny models of the oracles, one after the other."""
    from seam import load

    return load(request.param)


@pytest.fixture(scope="module")
def pictures(llava_oracle):
    return llava_oracle.images
