"""Ed25519 signatures over manifest.json, and with it over every file whose hash it holds."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_las.errors import ArtifactError, ConfigError, DeviceError, one_line, system_reason
from edge_las.manifest import MANIFEST_NAME, SIGNATURE_NAME
from edge_las.staging import whole_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SIGNATURE_BYTES = 64


def sign(folder: str | Path, key: "Ed25519PrivateKey") -> None:
    """Write manifest.sig: the 64 bytes of the signature over manifest.json as it is."""
    folder = Path(folder)
    with whole_file(folder / SIGNATURE_NAME, ArtifactError) as file:
        file.write(key.sign((folder / MANIFEST_NAME).read_bytes()))


def check_signature(folder: str | Path, manifest: bytes, key: "Ed25519PublicKey") -> None:
    """Check that manifest.sig in a folder is the signature over these bytes of manifest.json.

    Raises: ArtifactError if it is missing or another.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        with open(Path(folder) / SIGNATURE_NAME, "rb") as file:
            signature = file.read(_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: is not signed: {SIGNATURE_NAME} is missing") from None
    except OSError as error:
        raise ArtifactError(f"{folder}: {SIGNATURE_NAME}: {system_reason(error)}") from None
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        raise ArtifactError(
            f"{folder}: {SIGNATURE_NAME} is not the required key's signature of {MANIFEST_NAME}"
        ) from None


def load_private_key(path: str | Path) -> "Ed25519PrivateKey":
    """Read the key to sign with, in PEM, without a password.

    Raises: ConfigError naming the file, DeviceError saying what to install.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    read = partial(serialization.load_pem_private_key, password=None)
    return _load(path, "private", Ed25519PrivateKey, read)


def load_public_key(path: str | Path) -> "Ed25519PublicKey":
    """Read the key to check with, in PEM.

    Raises: ConfigError naming the file, DeviceError saying what to install.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return _load(path, "public", Ed25519PublicKey, serialization.load_pem_public_key)


def _load(path: str | Path, kind: str, expected: type, read: Any) -> Any:
    try:
        key = read(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    except Exception as error:  # cryptography's own classes: another format, a password, another algorithm
        # Its first sentence tells; others lead to a web site.
        raise ConfigError(f"{path}: is no {kind} key in PEM: {one_line(error).partition('. ')[0]}") from None
    if not isinstance(key, expected):
        raise ConfigError(f"{path}: is no Ed25519 key")
    return key


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise DeviceError(
            f"signatures need the package cryptography: pip install edge-las[sign] ({one_line(error)})"
        ) from None
    return serialization
