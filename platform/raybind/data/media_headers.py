"""Whether a file is one that a modality may hold, and what its suffix says, by its first bytes.

In the flow: asked by the writer before a sample enters a shard. Nothing is decoded here: a file with a sound header and
a broken body passes, and is counted by the reader when it cannot be decoded.
"""

from collections.abc import Iterable

from raybind.data.sample import MAX_KEY_FRAMES, MediaFile, UnpackableSample
from raybind.errors import DataError
from raybind.modalities import get_modality

_KNOWN_TYPES = ("png", "jpg", "tif", "mp4", "webm", "mkv", "avi", "wav", "flac", "ogg", "mp3")
"""What `detect_type` tells apart. A modality that stores another type checks it in its own `check_header`."""

FILE_TYPE_ALIASES = {"jpeg": "jpg", "tiff": "tif", "mov": "mp4", "m4v": "mp4", "3gp": "mp4"}
"""Suffixes of files as they are found, and what the shard format calls the type."""

_RIFF_TYPES = {b"WAVE": "wav", b"AVI ": "avi"}
_EBML_HEADER = 64
"""Bytes in which a Matroska file names its kind (RFC 8794, 11.2)."""


def media_types(modality: str) -> tuple[str, ...]:
    """The file types a shard of a modality may hold. Raises: ConfigError: there is no such modality."""
    return get_modality(modality).file_types


def type_of_name(name: str) -> str:
    """The file type that a file's name says, in the words of `Modality.file_types`; empty without a suffix."""
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    return FILE_TYPE_ALIASES.get(suffix, suffix)


def has_key_frames(modality: str) -> bool:
    """Whether a modality is stored as key frames: the suffix is then `<frame>.<type>`, frame 0 to 7."""
    return get_modality(modality).key_frames


def check_media(modality: str, media: Iterable[MediaFile]) -> None:
    """Check names and headers of one sample's media.

    Raises:
        UnpackableSample: no media, a suffix the modality does not have, or bytes that are not of that type.
    """
    suffixes = [file.suffix for file in media]
    if not suffixes:
        raise UnpackableSample(f"no {modality} file")
    if len(set(suffixes)) < len(suffixes) or (not has_key_frames(modality) and len(suffixes) > 1):
        raise UnpackableSample(f"more than one file for one place in {modality}: {', '.join(suffixes)}")
    for file in media:
        _check_suffix(modality, file.suffix)
        _check_header(modality, file)


def detect_type(data: bytes) -> str | None:
    """File type by its first bytes, in the words of `Modality.file_types` (and `m4a`); None for any other."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if data.startswith((b"II*\x00", b"MM\x00*")):
        return "tif"
    if data[4:8] == b"ftyp":
        return "m4a" if data[8:11] == b"M4A" else "mp4"
    if data.startswith(b"RIFF") and data[8:12] in _RIFF_TYPES:
        return _RIFF_TYPES[data[8:12]]
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in data[:_EBML_HEADER] else "mkv"
    if data.startswith(b"fLaC"):
        return "flac"
    if data.startswith(b"OggS"):
        return "ogg"
    return "mp3" if data.startswith(b"ID3") or _is_mpeg_audio_frame(data) else None


def _is_mpeg_audio_frame(data: bytes) -> bool:
    """An MPEG audio header: 11 set bits, then a layer that is not 0 (0 is AAC). ISO/IEC 11172-3, 2.4.1.3."""
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06 != 0


def _check_suffix(modality: str, suffix: str) -> None:
    *frame, file_type = suffix.split(".")
    if file_type not in media_types(modality):
        raise UnpackableSample(f"{modality} of type {file_type}; stored are {', '.join(media_types(modality))}", suffix)
    frames = [[str(number)] for number in range(MAX_KEY_FRAMES)] if has_key_frames(modality) else [[]]
    if frame not in frames:
        raise UnpackableSample(f"{modality} file named otherwise than the shard format has it", suffix)


def _check_header(modality: str, file: MediaFile) -> None:
    if not file.data:
        raise UnpackableSample("file is empty", file.suffix)
    expected = file.suffix.split(".")[-1]
    found = detect_type(file.data)
    if found != expected and (found is not None or expected in _KNOWN_TYPES):
        raise UnpackableSample(f"not a {expected} file{f' but {found}' if found else ''}", file.suffix)
    try:
        get_modality(modality).check_header(file.data)
    except DataError as error:
        raise UnpackableSample(error.cause, file.suffix) from None
