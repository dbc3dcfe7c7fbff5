"""Large files from the network: resumed where they broke off, checked, and unpacked without trusting them."""

import errno
import hashlib
import http.client
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from edge_las.errors import EdgeLasError

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
# Answers that may be different a moment later; any other HTTP error is final.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_COMPLETE = 416  # asked for the bytes after the last one


class DownloadError(EdgeLasError):
    """A file that cannot be fetched, or is not what was published under its name."""


@dataclass(frozen=True)
class Archive:
    """A published file; `checksum` is `md5:HEX` or `sha256:HEX`."""

    url: str
    checksum: str

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Retry:
    """How often in a row a transfer may break off without a byte, and the first pause (then doubled)."""

    attempts: int = 6
    wait_s: float = 2.0


def fetch(archive: Archive, folder: Path, retry: Retry | None = None) -> Path:
    """Fetch a file into `folder`, continuing what an interrupted run left, and check it.

    Raises: DownloadError naming the file.
    """
    path = folder / archive.file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _transfer(archive.url, part, retry or Retry())
        _check(part, archive)
        part.replace(path)
    else:
        _check(path, archive)
    return path


def unpack(path: Path, out: Path) -> Path:
    """Unpack a tar file into the new folder `out`, which appears only when it is complete.

    Only plain files and folders below `out` are made. Raises: DownloadError naming the file and the member.
    """
    if out.exists():
        return out
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tqdm(tar, desc=f"unpack {path.name}", unit="file", mininterval=5):
                _unpack_member(tar, member, part, path.name)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DownloadError(f"{path}: cannot be unpacked: {error}") from None
    part.replace(out)
    return out


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, out: Path, archive: str) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise DownloadError(f"{archive}: {member.name!r} would be written outside its folder")
    if member.isdir():
        (out / name).mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise DownloadError(f"{archive}: {member.name!r} is neither a plain file nor a folder")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    with open(out / name, "xb") as target:  # x: no member overwrites another
        shutil.copyfileobj(source, target, _BLOCK_BYTES)


def _transfer(url: str, part: Path, retry: Retry) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code not in _PASSING:
                raise DownloadError(f"{url}: {error.code} {error.reason}") from None
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise DownloadError(f"{part}: {error.strerror}") from None
            reason = str(error) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
        if failures >= retry.attempts:
            raise DownloadError(f"{url}: {reason}; {_size(part)} bytes are kept, run again to continue")
        time.sleep(retry.wait_s * 2.0 ** max(0, failures - 1))


def _continue(url: str, part: Path) -> None:
    """Append to `part` what it lacks of the file.

    Raises: OSError, http.client.HTTPException.
    """
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if have and error.code == _COMPLETE:
            return  # the checksum tells whether it is the right file
        raise
    with response:
        if response.status != 206:
            have = 0  # the server knows no ranges: from the start
        rest = int(response.headers.get("Content-Length", -1))
        with open(part, "ab" if have else "wb") as file:
            got = _copy(response, file, have, rest, part.stem)
    if 0 <= rest != got:
        raise ConnectionError(f"connection closed after {have + got} of {have + rest} bytes")


def _copy(source: IO[bytes], file: IO[bytes], have: int, rest: int, name: str) -> int:
    got = 0
    total = have + rest if rest >= 0 else None
    with tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True, mininterval=1) as bar:
        for block in _blocks(source):
            file.write(block)
            got += len(block)
            bar.update(len(block))
    return got


def _check(path: Path, archive: Archive) -> None:
    algorithm, _, expected = archive.checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        for block in _blocks(file):
            digest.update(block)
    if digest.hexdigest() == expected:
        return
    told = f"{algorithm} is {digest.hexdigest()}, should be {expected}"
    if path.name == archive.file:  # not one that this run fetched: the user's to delete
        raise DownloadError(f"{path}: {told}")
    path.unlink()
    raise DownloadError(f"{archive.file}: {told}; deleted, run again to fetch it anew")


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
