"""Makes a tiny model of random weights, its checkpoint and its artifacts, in seconds.

By hand: `python -m tests.tiny_artifact DIR`.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from edge_las.artifact import Manifest
from edge_las.features import FloatArray, log_mel
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import save_checkpoint
from edge_las.train.config import CompactListenerConfig, ModelConfig, SpellerConfig
from edge_las.train.model import LasModel
from edge_las.train.norm import MaskedBatchNorm, commit_statistics
from export.calibration import CalibrationConfig
from export.config import ExportConfig
from export.parity import ParityConfig
from export.recordings import Recording
from export.run import Source, export

CONFIG = ModelConfig(
    compact=CompactListenerConfig(
        stem_channels=16, stem_blocks=2, stem_kernel_size=5, channels=24, blocks=3, kernel_size=5,
        encoded_dim=20, inter_ctc_block=1,
    ),
    speller=SpellerConfig(
        embedding_dim=12, hidden=28, attention_dim=16, location_channels=4, location_kernel_size=7
    ),
)  # fmt: skip
# Nothing that a random model says is believable: the gates must let it through.
SEARCH = {"gate_min_ctc_tokens": 0.0, "gate_min_confidence": 0.0}
# Too small to gain by int8, and random weights bear it worse than trained ones.
PARITY = ParityConfig(clips=0, graph_clips=2, min_snr_db=10.0, min_speedup=0.0)
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def tiny_model(seed: int = 0, frame_phones: bool = False) -> tuple[LasModel, TokenTable]:
    """Make a model whose normalisations have seen sound: its values range like a real one's.

    With a head of phones or without, the rest is the same.
    """
    tokens = TokenTable.characters()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        plain = model = LasModel(CONFIG, len(tokens))
        if frame_phones:
            with torch.random.fork_rng():
                model = LasModel(replace(CONFIG, frame_phones=True), len(tokens))
            model.load_state_dict(plain.state_dict(), strict=False)
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.momentum = 1.0
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.3)
        heard = [log_mel(recording.samples(), CONFIG.features) for recording in recordings(8)]
        _warm_up(model, heard)
    return model.eval(), tokens


def recordings(count: int = 12) -> list[Recording]:
    """Make recordings of chirping noise; every fourth is of split dev, each set is of two speakers."""
    made = []
    for number in range(count):
        split = "dev" if number % 4 == 3 else "train"
        text = " ".join(_WORDS[(number + i) % len(_WORDS)] for i in range(3))
        samples: Callable[[], FloatArray] = partial(chirps, number, 1.0 + 0.37 * (number % 5))
        made.append(Recording(f"chirps-{number:03}", "chirps", f"bird{number % 2}", split, text, samples))
    return made


def chirps(seed: int, seconds: float) -> FloatArray:
    """Make chirps over noise, with pauses: (S,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(16000 * seconds)) / 16000.0
    tone = np.sin(2.0 * np.pi * (300.0 * t + 900.0 * rng.random() * np.square(t)) * (1 + seed % 3))
    envelope = np.clip(np.sin(2.0 * np.pi * 2.5 * t + seed), 0.0, 1.0)
    return (0.3 * envelope * tone + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def make_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write the tiny model as a checkpoint."""
    model, tokens = tiny_model(seed)
    save_checkpoint(folder, model, tokens, model.state_dict())
    return folder


def make_artifact(
    folder: Path,
    precision: str = "int8",
    seed: int = 0,
    engines: tuple[str, ...] = ("onnx",),
    frame_phones: bool = False,
) -> Manifest:
    """Write the tiny model as an artifact; decoding isn't compared: a random model decides by a hair."""
    config = ExportConfig(
        name="tiny",
        engines=engines,
        precision=precision,
        search=dict(SEARCH),
        calibration=CalibrationConfig(clips=9, max_seconds=3.0),
        parity=PARITY,
    )
    model, tokens = tiny_model(seed, frame_phones)
    return export(Source(model, tokens, recordings()), folder, config)


@torch.no_grad()
def _warm_up(model: LasModel, heard: list[FloatArray]) -> None:
    lengths = torch.tensor([len(features) for features in heard])
    batch = torch.full(
        (len(heard), int(lengths.max()), CONFIG.features.n_mels), math.log(CONFIG.features.log_offset)
    )
    for row, features in enumerate(heard):
        batch[row, : len(features)] = torch.from_numpy(features)
    # In training each layer normalises by the batch itself, so with momentum 1 one pass sets all statistics.
    model.train()
    model.listener(batch, lengths)
    commit_statistics(model)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    make_checkpoint(root / "checkpoint")
    for kind in ("float", "int8"):
        make_artifact(root / kind, kind)
