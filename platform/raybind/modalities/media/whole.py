"""Whether a file is all there, by its own structure: decoders read a file that was cut short without a word."""

import struct

from raybind.errors import DataError

CUT_SHORT = "file is cut short"
_MP4_BOX_TO_THE_END = 0
_MP4_LONG_BOX = 1
_UNKNOWN_RIFF_SIZES = (0, 0x7FFFFFFF)
"""Writers that cannot go back leave 0, or the largest number of 31 bits or more."""
_PNG_END = b"IEND\xaeB`\x82"
_OGG_PAGE_HEADER = 27
_OGG_LAST_PAGE = 4


def check_not_empty(media: bytes) -> None:
    """Raises: DataError: there are no bytes."""
    if not media:
        raise DataError("the file is empty", cause="file is empty")


def check_whole(media: bytes) -> None:
    """Compare a mp4, RIFF (wav, avi), ogg, png or tiff file's own lengths and end marks with its bytes; others pass.

    A mp4 in fragments that ends between two of them is whole: nothing in it says how many there are.

    Raises: DataError: the file is empty or ends before it should.
    """
    check_not_empty(media)
    check = _mp4_is_whole if media[4:8] == b"ftyp" else _CHECKS.get(media[:4])
    if check is not None and not check(media):
        raise DataError(f"the file ends after {len(media)} bytes, before its own structure does", cause=CUT_SHORT)


def _mp4_is_whole(media: bytes) -> bool:
    """ISO/IEC 14496-12, 4.2: boxes of 32-bit size and type, one after the other."""
    place = 0
    while place + 8 <= len(media):
        size = int.from_bytes(media[place : place + 4])
        if size == _MP4_BOX_TO_THE_END:
            return True
        if size == _MP4_LONG_BOX:
            size = int.from_bytes(media[place + 8 : place + 16])
        place += max(size, 8)
    return place == len(media) or (place < len(media) and not any(media[place:]))


def _riff_is_whole(media: bytes) -> bool:
    size = int.from_bytes(media[4:8], "little")
    return size == _UNKNOWN_RIFF_SIZES[0] or size >= _UNKNOWN_RIFF_SIZES[1] or size + 8 <= len(media)


def _ogg_is_whole(media: bytes) -> bool:
    """RFC 3533, 6: the last page is marked, and its segment table says how long it is."""
    page = media.rfind(b"OggS")
    header = media[page : page + _OGG_PAGE_HEADER]
    if len(header) < _OGG_PAGE_HEADER or not header[5] & _OGG_LAST_PAGE:
        return False
    body = page + _OGG_PAGE_HEADER + header[26]
    return body + sum(media[page + _OGG_PAGE_HEADER : body]) <= len(media)


def _png_is_whole(media: bytes) -> bool:
    return _PNG_END in media


def _tiff_is_whole(media: bytes) -> bool:
    """TIFF 6.0, section 2: the first directory is a count, entries of 12 bytes and the place of the next one."""
    order = "<" if media[:1] == b"I" else ">"
    if len(media) < 8:
        return False
    (directory,) = struct.unpack_from(f"{order}I", media, 4)
    if directory + 2 > len(media):
        return False
    (entries,) = struct.unpack_from(f"{order}H", media, directory)
    return directory + 2 + 12 * entries + 4 <= len(media)


_CHECKS = {
    b"RIFF": _riff_is_whole,
    b"OggS": _ogg_is_whole,
    b"\x89PNG": _png_is_whole,
    b"II*\x00": _tiff_is_whole,
    b"MM\x00*": _tiff_is_whole,
}
