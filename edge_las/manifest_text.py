"""manifest.json as text: strict JSON that carries its own hash, so that no byte of it changes unnoticed."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from edge_las.errors import ArtifactError, one_line
from edge_las.manifest import MANIFEST_NAME

# The last member from format 2 on: the SHA-256 of the text in which these 64 digits are zeros.
SEAL = "manifest_sha256"
_ZEROS = "0" * 64


def render(values: Mapping[str, Any]) -> bytes:
    """Write a manifest's values as text, sealed from format 2 on.

    Raises: ArtifactError if JSON cannot hold them.
    """
    is_sealed = values["format_version"] >= 2
    if is_sealed:
        values = {**values, SEAL: _ZEROS}
    try:
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        data = text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{MANIFEST_NAME}: cannot be written as JSON: {one_line(error)}") from None
    if not is_sealed:
        return data
    head, _, tail = data.rpartition(_ZEROS.encode())
    return head + sha256(data).hexdigest().encode() + tail


def parse(data: bytes) -> Any:
    """Read what `render` wrote, without the seal.

    Raises: ArtifactError if it is no JSON, says something twice, or is not as it was written.
    """
    try:
        values = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST_NAME}: not valid JSON: {one_line(error)}") from None
    # What is of another version, or of none, is told by that.
    if isinstance(values, dict) and values.get("format_version") == 2:
        _check_seal(data, values.pop(SEAL, None))
    return values


def _check_seal(data: bytes, digest: Any) -> None:
    if digest is None:
        raise ArtifactError(f"{MANIFEST_NAME}: {SEAL} is missing")
    if not isinstance(digest, str) or len(digest) != len(_ZEROS):
        raise ArtifactError(f"{MANIFEST_NAME}: {SEAL} is no SHA-256")
    head, found, tail = data.rpartition(digest.encode("utf-8", "replace"))
    if not found or sha256(head + _ZEROS.encode() + tail).hexdigest() != digest:
        raise ArtifactError(f"{MANIFEST_NAME}: is damaged: its SHA-256 is not its {SEAL}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return values


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")
