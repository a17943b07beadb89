"""Unpack a release's zip file, so that interrupting it leaves neither damaged files nor labels of other pictures."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from sepm_eval.datasets import safe_path
from sepm_eval.files import writing_whole

MOST_UNPACKED = 200 * 2**30
MOST_RATIO = 50  # pictures hardly compress, so an archive that grows by more than this factor is a zip bomb
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class BrokenArchive(ValueError):
    """An archive cannot be unpacked safely and completely."""


def unpack(archive: Path, into: Path, before: Callable[[], object] = lambda: None) -> Path:
    """Unpack a release's zip file into a folder, except the files that are already there.

    Existing files of the right size and checksum are kept, so that an interrupted call can be repeated. Pictures are
    written first, and before them the archive's other files are removed: an interrupted call leaves no list of labels
    that belongs to other pictures.

    Args:
        archive: the zip file.
        into: the folder.
        before: called before a picture is written or replaced.

    Returns:
        The folder ``into``.

    Raises:
        BrokenArchive: the file is not a zip file, is cut off, encrypted or far too large, or has a member that leads
            out of the folder or whose name occurs twice.
        OSError: the disk is full.
    """
    if not archive.is_file():
        raise BrokenArchive(f"{archive} is not a file")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            size = sum(member.file_size for member in members)
            if size > MOST_UNPACKED or size > MOST_RATIO * max(archive.stat().st_size, 1):
                raise BrokenArchive(f"{archive} would unpack to {size / 2**30:.1f} GiB: this is not a picture archive")
            targets = sorted(_targets(archive, members, into), key=lambda pair: not _is_picture(pair[1]))
            lists = [target for _, target in targets if not _is_picture(target)]
            for member, target in tqdm(targets, desc=f"unpacking {archive.name}", unit="file"):
                if _is_member(target, member):
                    continue
                if _is_picture(target):
                    before()
                    for path in lists:
                        path.unlink(missing_ok=True)
                    lists = []
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, writing_whole(target, repeatable=True) as file:
                    shutil.copyfileobj(source, file)
    except _BROKEN as error:
        raise BrokenArchive(f"{archive} is not a whole zip file ({error}); download it again") from error
    except RuntimeError as error:  # zipfile raises this for a missing password
        raise BrokenArchive(f"{archive}: {error}; unpack it yourself and name the folder") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise BrokenArchive(f"{archive} is damaged ({error}); download it again") from error  # bz2 raises OSError
    return into


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _is_member(path: Path, member: zipfile.ZipInfo) -> bool:
    """Whether a file has the content of an archive's member, by size and CRC-32."""
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum == member.CRC


def top_folders(archive: Path) -> set[str]:
    """The top folders and files in a zip file: the first parts of the names in it.

    Raises:
        BrokenArchive: the file is not a whole zip file.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return {member.filename.split("/")[0] for member in opened.infolist()}
    except _BROKEN as error:
        raise BrokenArchive(f"{archive} is not a whole zip file ({error}); download it again") from error


_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError)


def _targets(archive: Path, members: Sequence[zipfile.ZipInfo], into: Path) -> list[tuple[zipfile.ZipInfo, Path]]:
    """The path for each member of an archive; all are checked before the first one is written.

    Raises:
        BrokenArchive: a name leads out of the folder, or is that of two files, or of both a file and a folder.
    """
    found: dict[Path, zipfile.ZipInfo] = {}
    root = into.resolve()
    for member in members:
        try:
            target = safe_path(root, member.orig_filename, str(archive)).resolve()
        except (ValueError, RuntimeError) as error:
            raise BrokenArchive(str(error)) from error
        if not target.is_relative_to(root):
            raise BrokenArchive(f"{archive}: member {member.filename!r} leads out of {into} through a link")
        if target in found:
            raise BrokenArchive(f"{archive}: two members are called {member.filename!r}")
        found[target] = member
    folders = {parent for target in found for parent in target.parents}
    if both := folders & found.keys():
        raise BrokenArchive(f"{archive}: {found[both.pop()].filename!r} is both a file and a folder")
    return [(member, target) for target, member in found.items()]
