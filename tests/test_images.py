"""Pictures of every kind: read as the original code does, or refused by name."""

import copy
import io
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from sepm_eval.images import UnreadableImage, image_sha256, open_image, remember_sha256


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.effect_noise((64, 48), 80).convert("RGB").save(path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image.new("CMYK", (5, 4), (10, 200, 30, 40)),
        lambda: Image.new("L", (5, 4), 90),
        lambda: Image.new("1", (5, 4), 1),
        lambda: Image.new("P", (5, 4), 3),
        lambda: Image.new("LA", (5, 4), (90, 10)),
        lambda: Image.new("RGBA", (5, 4), (1, 2, 3, 0)),
        lambda: Image.new("RGB", (1, 1), (9, 8, 7)),
    ],
)
def test_every_mode_becomes_rgb_as_pillow_converts_it(tmp_path, make):
    image = make()
    path = tmp_path / ("picture.tif" if image.mode == "CMYK" else "picture.png")
    image.save(path)
    opened = open_image(path)
    assert opened.mode == "RGB"
    with Image.open(path) as again:
        assert opened.tobytes() == again.convert("RGB").tobytes()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_upper_byte_of_16_bit_grey(tmp_path, ending):
    """Pillow's own conversion cuts at 255: nearly every 16-bit picture would be white."""
    Image.fromarray(np.array([[0, 300, 40000, 65535]], dtype=np.uint16)).save(tmp_path / f"deep.{ending}")
    opened = open_image(tmp_path / f"deep.{ending}")
    assert [opened.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 1, 156, 255)]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_of_unknown_range_are_refused(tmp_path, kind):
    Image.fromarray(np.full((4, 5), 7, dtype=kind)).save(tmp_path / "values.tif")
    with pytest.raises(UnreadableImage, match="no known range"):
        open_image(tmp_path / "values.tif")


def test_formats_that_run_programs_are_not_read(tmp_path, monkeypatch):
    """Pillow gives an EPS file, whatever its name, to Ghostscript."""
    Image.new("RGB", (5, 4)).save(tmp_path / "picture.eps")
    (tmp_path / "picture.eps").rename(tmp_path / "picture.jpg")
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(UnreadableImage, match="cannot identify image file"):
        open_image(tmp_path / "picture.jpg")


def test_alpha_is_dropped_not_blended(tmp_path):
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (200, 100, 50)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "moving.gif").getpixel((0, 0)) == (255, 0, 0)


def test_exif_orientation_is_left_alone(tmp_path):
    image = Image.new("RGB", (6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (6, 3)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"broken\.jpg cannot be read as a picture"):
        open_image(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "nowhere.jpg", tmp_path):
        with pytest.raises(UnreadableImage, match="cannot be read"):
            open_image(path)


def test_a_cut_off_file_is_refused_even_where_the_process_is_lenient(jpeg, monkeypatch):
    """lmms-eval sets LOAD_TRUNCATED_IMAGES for the whole process, which turns a broken file into a grey picture."""
    jpeg.write_bytes(jpeg.read_bytes()[:900])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UnreadableImage, match="truncated"):
        open_image(jpeg)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # as it was


def test_threads_that_decode_at_once_are_all_strict(jpeg, monkeypatch):
    """The first to end must not make the process lenient for the others."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = jpeg.read_bytes()

    class Slow(io.BytesIO):
        """A cut-off file, in the middle of which another thread decodes a whole one."""

        def read(self, *size):
            with ThreadPoolExecutor(1) as other:
                other.submit(open_image, io.BytesIO(whole)).result(timeout=20)
            return super().read(*size)

    with pytest.raises(UnreadableImage, match="truncated"):
        open_image(Slow(whole[:900]), "slow.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("1", (300, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        open_image(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some tasks of lmms-eval lift it
    monkeypatch.setattr("sepm_eval.images.MOST_PIXELS", 89_999)
    with pytest.raises(UnreadableImage, match="300 x 300 pixels, more than 89999, could be a decompression bomb"):
        open_image(tmp_path / "bomb.png")


def test_the_digest_is_of_what_is_seen(jpeg):
    image = open_image(jpeg)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert image_sha256(Image.open(buffer)) == image_sha256(image)
    assert image_sha256(image.rotate(180)) != image_sha256(image)
    assert image_sha256(Image.new("RGB", (2, 3))) != image_sha256(Image.new("RGB", (3, 2)))


# Sizes, memory and time


@pytest.mark.parametrize(("width", "height"), [(20_000, 1), (1, 20_000), (60_000, 1), (13_378, 2)])
def test_a_picture_whose_square_would_be_a_bomb_is_refused(tmp_path, width, height):
    """LLaVA pads to a square: 20,000 x 1, a PNG of 259 bytes, would become 400 million pixels."""
    Image.new("RGB", (width, height)).save(tmp_path / "thin.png")
    with pytest.raises(UnreadableImage, match=rf"thin\.png .*{width} x {height} pixels.* 13377"):
        open_image(tmp_path / "thin.png")


def test_panoramas_are_read_and_padded(tmp_path, demo_backbone):
    Image.new("RGB", (12_000, 2_000), (200, 30, 90)).save(tmp_path / "wide.png")
    panorama = open_image(tmp_path / "wide.png")
    assert panorama.size == (12_000, 2_000)
    demo_backbone.prepare(panorama)
    assert open_image(_saved(tmp_path, (13_377, 1))).size == (13_377, 1)


def _saved(folder, size):
    Image.new("RGB", size).save(folder / "other.png")
    return folder / "other.png"


def test_a_picture_that_came_otherwise_is_not_padded_to_a_bomb_either(demo_backbone):
    """A host may hand over pictures that it opened itself."""
    with pytest.raises(UnreadableImage, match=r"20000 x 1 pixels"):
        demo_backbone.prepare(Image.new("RGB", (20_000, 1)))


def test_no_memory_for_a_picture_is_a_fault_of_that_picture(jpeg, monkeypatch, demo_backbone):
    image = open_image(jpeg)

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "convert", fail)
        with pytest.raises(UnreadableImage, match=r"picture\.jpg cannot be read as a picture: .*memory"):
            open_image(jpeg)
        with pytest.raises(UnreadableImage, match=r"64 x 48 pixels .*memory"):
            image_sha256(image)
    with monkeypatch.context() as patched:
        patched.setattr(demo_backbone, "_processor", fail)
        with pytest.raises(UnreadableImage, match=r"64 x 48 pixels .*memory"):
            demo_backbone.prepare(image)


def test_a_decode_that_does_not_end_is_given_up(jpeg, monkeypatch):
    """Some hundred bytes of a progressive JPEG can keep a decoder busy for minutes; it cannot be stopped, but left."""
    monkeypatch.setattr("sepm_eval.images.DECODE_SECONDS", 0.2)
    go_on, ended = threading.Event(), threading.Event()
    load = ImageFile.ImageFile.load

    def slow(image):
        go_on.wait(20)
        ended.set()
        return load(image)

    with monkeypatch.context() as patched:
        patched.setattr(ImageFile.ImageFile, "load", slow)
        begun = time.monotonic()
        with pytest.raises(UnreadableImage, match=r"picture\.jpg cannot be read as a picture: .* 0\.2 s"):
            open_image(jpeg)
        assert time.monotonic() - begun < 10
        left = [thread for thread in threading.enumerate() if thread.name == "decode a picture"]
        assert [thread.daemon for thread in left] == [True]  # it does not keep the process from ending
    go_on.set()
    assert ended.wait(20)
    left[0].join(20)
    assert open_image(jpeg).size == (64, 48)


def test_a_digest_is_remembered_only_where_that_is_asked_for():
    """A picture may be changed by who holds it; one that was handed over for good keeps its digest."""
    image, other = Image.new("RGB", (2, 2)), Image.new("RGB", (2, 2))
    before = image_sha256(image)
    image.putpixel((0, 0), (1, 2, 3))
    assert image_sha256(image) != before
    assert remember_sha256(other) == before
    other.putpixel((0, 0), (1, 2, 3))
    assert image_sha256(other) == remember_sha256(other) == before
    assert image_sha256(other.copy()) == image_sha256(image)  # a copy is another picture


def test_a_remembered_digest_goes_with_its_picture():
    """Nothing else holds it: a callback at a picture's end could swallow a Ctrl-C that arrived in it."""
    image = Image.new("RGB", (2, 2))
    digest = remember_sha256(image)
    assert weakref.getweakrefcount(image) == 0
    for other in (image.copy(), copy.copy(image), copy.deepcopy(image), image.convert("RGB")):
        other.putpixel((0, 0), (1, 2, 3))
        assert image_sha256(other) != digest
