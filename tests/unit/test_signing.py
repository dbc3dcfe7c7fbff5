"""Signed artifacts: what the key did not sign is refused, whatever else may be right with it."""

import builtins
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge_las.artifact import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    describe_files,
    load_manifest,
    verify,
    write_manifest,
)
from edge_las.cli import main
from edge_las.errors import ArtifactError, ConfigError, DeviceError
from edge_las.packing import pack, unpack
from edge_las.signing import load_private_key, load_public_key, sign
from tests.unit.test_artifact import folder  # noqa: F401

PEM = serialization.Encoding.PEM


def write_keys(path: Path, key=None, password: bytes | None = None) -> tuple[Path, Path]:
    key = key or ed25519.Ed25519PrivateKey.generate()
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = path / "key.pem", path / "key.pub.pem"
    path.mkdir(exist_ok=True)
    private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(PEM, info))
    return private, public


@pytest.fixture
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(folder: Path, keys: tuple[Path, Path]) -> Path:  # noqa: F811
    sign(folder, load_private_key(keys[0]))
    return folder


def test_the_right_key_is_content(signed, keys):
    assert load_manifest(signed, keys[1]) == load_manifest(signed)
    assert len((signed / SIGNATURE_NAME).read_bytes()) == 64


def test_another_key_is_not(signed, tmp_path):
    _, other = write_keys(tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"manifest\.sig is not the required key's signature"):
        load_manifest(signed, other)


def test_every_flipped_bit_is_refused(signed, keys):
    for name in (MANIFEST_NAME, SIGNATURE_NAME):
        whole = (signed / name).read_bytes()
        for place in range(0, len(whole), 1 if name == SIGNATURE_NAME else 97):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << place % 8
            (signed / name).write_bytes(damaged)
            with pytest.raises(ArtifactError, match="signature"):
                load_manifest(signed, keys[1])
        (signed / name).write_bytes(whole)
    load_manifest(signed, keys[1])


@pytest.mark.parametrize("content", [None, b"", b"short", bytes(65)])
def test_a_missing_or_misshapen_signature_is_refused(signed, keys, content):
    (signed / SIGNATURE_NAME).unlink()
    if content is not None:
        (signed / SIGNATURE_NAME).write_bytes(content)
    with pytest.raises(ArtifactError, match="is not signed|is not the required key's"):
        load_manifest(signed, keys[1])


def test_it_is_checked_before_anything_is_read(signed, keys):
    """Even what is no manifest at all is refused for its signature."""
    (signed / MANIFEST_NAME).write_bytes(b"no manifest")
    with pytest.raises(ArtifactError, match="signature"):
        load_manifest(signed, keys[1])


def test_a_forger_who_seals_anew_is_refused(signed, keys):
    signature = (signed / SIGNATURE_NAME).read_bytes()
    manifest = load_manifest(signed)
    (signed / "speller.onnx").write_bytes(b"evil")
    write_manifest(signed, replace(manifest, files=describe_files(signed, manifest.files)))
    verify(signed, load_manifest(signed))
    assert not (signed / SIGNATURE_NAME).exists()  # a manifest that is rewritten is no longer signed
    (signed / SIGNATURE_NAME).write_bytes(signature)
    with pytest.raises(ArtifactError, match="is not the required key's signature"):
        load_manifest(signed, keys[1])


def test_the_commands(folder, keys, tmp_path, capsys):  # noqa: F811
    private, public = map(str, keys)
    assert main(["verify", str(folder), "--require-signature", public]) == 2
    assert "is not signed: manifest.sig is missing" in capsys.readouterr().err
    assert main(["sign", str(folder), private]) == 0
    assert main(["verify", str(folder), "--require-signature", public]) == 2  # its graphs are stand-ins
    assert "signed" in capsys.readouterr().out
    for command in (["transcribe", "x.wav"], ["listen", "--wav", "x.wav"], ["serve"]):
        (folder / SIGNATURE_NAME).write_bytes(bytes(64))
        assert main([*command, "--model", str(folder), "--require-signature", public]) == 2
        assert "is not the required key's signature" in capsys.readouterr().err
    assert main(["sign", str(folder), private]) == 0
    pack(folder, tmp_path / "packed")
    assert main(["unpack", str(tmp_path / "packed"), str(tmp_path / "a"), "--require-signature", public]) == 0
    (folder / SIGNATURE_NAME).unlink()
    pack(folder, tmp_path / "unsigned")
    with pytest.raises(ArtifactError, match="is not signed"):
        unpack(tmp_path / "unsigned", tmp_path / "b", public)
    assert not (tmp_path / "b").exists()


def test_only_what_is_whole_is_signed(folder, keys, capsys):  # noqa: F811
    (folder / "speller.onnx").write_bytes(b"x")
    assert main(["sign", str(folder), str(keys[0])]) == 2
    assert "speller.onnx: has 1 bytes" in capsys.readouterr().err
    assert not (folder / SIGNATURE_NAME).exists()


def test_keys_of_other_kinds_are_named(tmp_path):
    elliptic = write_keys(tmp_path / "ec", ec.generate_private_key(ec.SECP256R1()))
    secret = write_keys(tmp_path / "secret", password=b"word")
    (tmp_path / "text").write_text("no key")
    private, public = write_keys(tmp_path)
    for load, path, message in (
        (load_private_key, tmp_path / "none", "none: no such file"),
        (load_private_key, tmp_path / "text", "text: is no private key in PEM"),
        (load_private_key, public, "is no private key in PEM"),
        (load_private_key, secret[0], "is no private key in PEM: .*[Pp]assword"),
        (load_private_key, elliptic[0], "is no Ed25519 key"),
        (load_public_key, tmp_path / "text", "text: is no public key in PEM"),
        (load_public_key, private, "is no public key in PEM"),
        (load_public_key, elliptic[1], "is no Ed25519 key"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            load(path)
        assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(keys, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError("No module named 'cryptography'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=r"pip install edge-las\[sign\]"):
        load_public_key(keys[1])


def test_nothing_of_it_is_loaded_where_no_signature_is_asked_for(folder):  # noqa: F811
    code = (
        "import sys; from edge_las.artifact import load_manifest; load_manifest(sys.argv[1]); "
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_keys_and_signatures_are_those_of_openssl(folder, tmp_path):  # noqa: F811
    """The commands of docs/export.md."""
    private, public = tmp_path / "k.pem", tmp_path / "k.pub.pem"
    openssl = ["openssl"]
    subprocess.run([*openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run([*openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    sign(folder, load_private_key(private))
    load_manifest(folder, public)
    check = [*openssl, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin"]
    files = ["-in", folder / MANIFEST_NAME, "-sigfile", folder / SIGNATURE_NAME]
    subprocess.run([*check, *files], check=True, capture_output=True)
