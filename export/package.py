"""The artifact folder: its manifest, checked as the runtime will check it."""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import edge_las
from edge_las.artifact import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    CalibrationEntry,
    EngineEntry,
    ListenerEntry,
    Manifest,
    ProvenanceEntry,
    SpellerEntry,
    TokensEntry,
    describe_files,
    load_manifest,
    sha256_file,
    verify,
    write_manifest,
)
from edge_las.lexicon import PHONE_HEAD_NAME
from edge_las.runtime.gate import GateConfig
from edge_las.search.config import BeamConfig
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import CONFIG, TOKENS, WEIGHTS
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel
from export.config import ExportConfig
from export.phone_head import save_phone_head

_TOOLS = (
    "torch", "onnx", "onnxscript", "onnxruntime", "numpy",
    "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert",
)  # fmt: skip


def describe_artifact(
    folder: Path, model: LasModel, tokens: TokenTable, engines: dict[str, EngineEntry],
    origin: ProvenanceEntry, config: ExportConfig,
) -> Manifest:  # fmt: skip
    """Write what is beside the graphs in `folder` and make its manifest; `parity` is still empty."""
    listener = model.listener
    assert isinstance(listener, CompactListener) and config.max_tokens_per_s is not None
    tokens.save(folder / TOKENS)
    middle = (0, 0)
    if model.frame_phone_head is not None:
        save_phone_head(folder / PHONE_HEAD_NAME, model.frame_phone_head)
        middle = (listener.middle_dim, listener.middle_delay)
    names = [path.name for path in folder.iterdir() if path.name != MANIFEST_NAME]
    return Manifest(
        format_version=FORMAT_VERSION,
        name=config.name,
        language=config.language,
        features=model.config.features,
        tokens=TokensEntry(
            TOKENS, len(tokens), tokens.blank_id, tokens.unk_id, tokens.sos_id, tokens.eos_id
        ),
        listener=ListenerEntry(
            config.chunk_frames, listener.subsampling, listener.delay,
            model.config.tail_padding_samples, listener.encoded_dim, *middle,
        ),
        speller=SpellerEntry(config.max_tokens_per_s, config.max_utterance_s),
        search={**asdict(BeamConfig()), **asdict(GateConfig()), **config.search},
        engines=engines,
        files=describe_files(folder, names),
        provenance=origin,
        parity={},
        accuracy=config.accuracy,
    )  # fmt: skip


def describe_origin(checkpoint: Path | None, calibration: CalibrationEntry) -> ProvenanceEntry:
    """Say what an artifact is made from, and by which versions; without a checkpoint, the hash of nothing."""
    parent = checkpoint_hash(checkpoint) if checkpoint else sha256(b"").hexdigest()
    return ProvenanceEntry(parent, tool_versions(), calibration, _today())


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and read the artifact back as the runtime does.

    Raises: ArtifactError if the runtime would refuse it.
    """
    write_manifest(folder, manifest)
    verify(folder, load_manifest(folder))


def checkpoint_hash(folder: Path) -> str:
    """Hash the files of a checkpoint that make the model: 64 hexadecimal digits."""
    digests = [f"{name}\t{sha256_file(folder / name)}\n" for name in (CONFIG, TOKENS, WEIGHTS)]
    return sha256("".join(digests).encode()).hexdigest()


def tool_versions() -> dict[str, str]:
    """List the versions that made the files."""
    found = {"edge-las": edge_las.__version__}
    for name in _TOOLS:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def measured(values: Mapping[str, Any]) -> dict[str, Any]:
    """Round what parity measured to what is worth keeping; tables are rounded already."""
    return {
        name: value if isinstance(value, Mapping) else float(f"{value:.3g}") for name, value in values.items()
    }


def _today() -> str:
    """The day, so that two exports of a day are the same; SOURCE_DATE_EPOCH decides where it is set."""
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
