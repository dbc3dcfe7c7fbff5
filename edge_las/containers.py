"""Just enough of RIFF, AIFF and Ogg to tell whether a file is whole, and to read plain WAV by numpy alone."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from edge_las.errors import AudioError

FloatArray = npt.NDArray[np.float32]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_READABLE = {(_PCM, 1), (_PCM, 2), (_PCM, 3), (_PCM, 4), (_FLOAT, 4), (_FLOAT, 8)}
# What follows a data chunk that is really empty, and not of unknown length.
_CHUNKS_AFTER_DATA = (b"LIST", b"fact", b"cue ", b"id3 ", b"ID3 ", b"bext", b"junk", b"JUNK", b"")


@dataclass(frozen=True)
class WavLayout:
    """Where the samples of a WAV file lie and how one is written."""

    format_tag: int
    channels: int
    sample_rate: int
    sample_bytes: int
    data_offset: int
    data_bytes: int

    @property
    def readable(self) -> bool:
        """Whether `read_wav_blocks` can read it (integer PCM and float; not A-law and the like)."""
        return (self.format_tag, self.sample_bytes) in _READABLE and self.channels > 0

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return self.data_bytes // (self.sample_bytes * self.channels)


def wav_layout(file: BinaryIO, file_bytes: int) -> WavLayout | None:
    """Walk the chunks of a WAV file; None if it is none.

    libsndfile silently shortens a WAV file that was cut off, so its own numbers cannot be trusted here.
    Raises: AudioError, without the file's name, if the file ends before its data does.
    """
    head = _read_at(file, 0, 12)
    if head[:4] not in (b"RIFF", b"RF64") or (len(head) == 12 and head[8:] != b"WAVE"):
        return None
    offset, long_data_bytes, fmt = 12, None, b""
    while True:
        header = _read_at(file, offset, 8)
        if len(header) < 8:
            raise AudioError("is truncated: ends before its audio data begins")
        kind, size = header[:4], struct.unpack("<I", header[4:])[0]
        offset += 8
        if kind == b"data":
            data_bytes = _data_bytes(file, offset, file_bytes, size, long_data_bytes)
            return _layout(fmt, offset, data_bytes)
        if kind == b"ds64":
            body = _read_at(file, offset, 16)
            long_data_bytes = struct.unpack("<Q", body[8:])[0] if len(body) == 16 else None
        elif kind == b"fmt ":
            fmt = _read_at(file, offset, min(size, 40))
        offset += size + size % 2


def read_wav_blocks(
    file: BinaryIO, layout: WavLayout, block_frames: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples as float32 blocks (frames, channels), full scale being 1."""
    file.seek(layout.data_offset)
    frame_bytes = layout.sample_bytes * layout.channels
    left = layout.frames
    while left > 0:
        want = min(left, block_frames)
        data = file.read(want * frame_bytes)
        if len(data) < want * frame_bytes:
            raise AudioError("is truncated: ended while it was read")
        yield _to_float(data, layout).reshape(want, layout.channels)
        left -= want


def check_aiff(file: BinaryIO, file_bytes: int) -> None:
    """Raise AudioError, without the file's name, if an AIFF file is shorter than it says."""
    head = _read_at(file, 0, 12)
    if head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC"):
        return
    declared = struct.unpack(">I", head[4:8])[0] + 8
    if declared > file_bytes:
        raise AudioError(f"is truncated: has {file_bytes} of {declared} bytes")


def check_ogg(file: BinaryIO, file_bytes: int) -> None:
    """Raise AudioError, without the file's name, unless each stream of an Ogg file ends with its last page.

    Source: RFC 3533, section 6.
    """
    offset, still_open = 0, set()
    while offset < file_bytes:
        page = _read_page(file, offset)
        flags, serial = page[5], page[14:18]
        if flags & 2:
            still_open.add(serial)
        if flags & 4:
            still_open.discard(serial)
        offset += len(page)
    if still_open:
        raise AudioError("is truncated: its last Ogg page is missing")


def _read_page(file: BinaryIO, offset: int) -> bytes:
    header = _read_at(file, offset, 27)
    if header[:4] != b"OggS"[: len(header)]:
        raise AudioError(f"is damaged: no Ogg page at byte {offset}")
    table = file.read(header[26]) if len(header) == 27 else b""
    body = file.read(sum(table))
    if len(header) < 27 or len(table) < header[26] or len(body) < sum(table):
        raise AudioError("is truncated: ends inside an Ogg page")
    # A decoder skips a page whose checksum is wrong, and a second of speech would vanish without a word.
    if _ogg_checksum(header[:22] + bytes(4) + header[26:] + table + body) != header[22:26]:
        raise AudioError(f"is damaged: the Ogg page at byte {offset} has a wrong checksum")
    return header + table + body


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> bytes:
    """Compute Ogg's CRC with zlib's: same polynomial, bits the other way round, nothing inverted."""
    inverted = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return inverted.to_bytes(4, "little").translate(_MIRRORED)[::-1]


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _data_bytes(file: BinaryIO, offset: int, file_bytes: int, size: int, long_size: int | None) -> int:
    present = file_bytes - offset
    declared = long_size if size == 0xFFFFFFFF and long_size else size
    if _is_unknown(declared) and _read_at(file, offset, 4) not in _CHUNKS_AFTER_DATA:
        return present
    if declared > present:
        if _is_unknown(declared):
            return 0
        raise AudioError(f"is truncated: has {present} of {declared} bytes of audio")
    return declared


def _is_unknown(size: int) -> bool:
    """Whether a length is what programs write that stream to a pipe: 0, or close to 2 or 4 GiB."""
    return size == 0 or 0x7FFFF000 <= size <= 0x80000000 or 0xFFFFF000 <= size <= 0xFFFFFFFF


def _layout(fmt: bytes, offset: int, data_bytes: int) -> WavLayout:
    if len(fmt) < 16:
        raise AudioError("is damaged: has no usable fmt chunk before its audio data")
    tag, channels, sample_rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack("<H", fmt[24:26])[0]
    sample_bytes = -(-bits // 8)
    if frame_bytes != sample_bytes * channels:
        sample_bytes = 0  # contradicts itself: not `readable`, left to libsndfile
    return WavLayout(tag, channels, sample_rate, sample_bytes, offset, data_bytes)


def _to_float(data: bytes, layout: WavLayout) -> FloatArray:
    if layout.format_tag == _FLOAT:
        with np.errstate(over="ignore"):  # becomes infinite, which the reader refuses
            return np.frombuffer(data, f"<f{layout.sample_bytes}").astype(np.float32)
    return integer_pcm(data, layout.sample_bytes)


def integer_pcm(data: bytes, sample_bytes: int) -> FloatArray:
    """Scale little-endian PCM of 1 (unsigned) to 4 bytes a sample to float32 in [-1, 1)."""
    if sample_bytes == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) * np.float32(2.0**-7)
    if sample_bytes == 3:
        # The three bytes are the upper ones of an int32.
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, sample_bytes = wide.tobytes(), 4
    scale = np.float32(2.0 ** (1 - 8 * sample_bytes))
    return np.frombuffer(data, f"<i{sample_bytes}").astype(np.float32) * scale
