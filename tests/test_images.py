"""Pictures of every kind: read as the original code does, or refused by name."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from sepm_eval.images import UnreadableImage, image_sha256, open_image


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
