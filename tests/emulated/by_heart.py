"""Makes tests/data/by_heart: a tiny int8 model for both engines that knows the clips of tests/data.

python -m tests.emulated.by_heart [DIR] needs the extra export-tflite, and two minutes. What it made is
committed: the tests that use it must not need a converter of 1 GB. A model of random weights would not do, as
rounding alone decides what it spells.
"""

import csv
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from edge_las.audio import read_audio
from edge_las.features import FloatArray, log_mel
from edge_las.tokens import TokenTable
from edge_las.train.config import LossConfig
from edge_las.train.loss import JointLoss
from edge_las.train.model import LasModel
from edge_las.train.norm import commit_statistics
from export import to_tflite
from export.calibration import CalibrationConfig
from export.config import ExportConfig
from export.recordings import Recording
from export.run import Source, export
from tests.tiny_artifact import CONFIG, PARITY

DATA = Path(__file__).resolve().parents[1] / "data"
STEPS = 700


def clips() -> list[Recording]:
    """List the clips, for learning and for proving."""
    with open(DATA / "clips" / "transcripts.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Recording(
            f"{split}-{row['id']}", "clips", row["speaker"], split, row["text"],
            partial(read_audio, DATA / "clips" / row["path"]),
        )
        for split in ("train", "dev") for row in rows
    ]  # fmt: skip


def learn(recordings: list[Recording], tokens: TokenTable) -> LasModel:
    """Train on recordings that begin anywhere within a chunk, with noise of all levels."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model = LasModel(CONFIG, len(tokens))
    taught = JointLoss(model, LossConfig(label_smoothing=0.0)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    texts = [torch.tensor(tokens.encode(recording.text)) for recording in recordings]
    samples = [recording.samples() for recording in recordings]
    for step in range(STEPS):
        features = [torch.from_numpy(log_mel(_varied(clip, rng), CONFIG.features)) for clip in samples]
        loss, _ = taught(*_padded(features, float(np.log(CONFIG.features.log_offset))), *_padded(texts, 0))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        commit_statistics(model)
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval()


def _varied(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    loudness = 10.0 ** rng.uniform(-0.3, 0.3)
    quiet = np.zeros(rng.integers(5120), dtype=np.float32)
    ending = np.zeros(CONFIG.tail_padding_samples, dtype=np.float32)
    whole = np.concatenate([quiet, loudness * samples, ending])
    noise = 10.0 ** rng.uniform(-5.0, -2.5) * rng.standard_normal(whole.size)
    return (whole + noise).astype(np.float32)


def _padded(rows: list[torch.Tensor], value: float) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
    return padded, torch.tensor([len(row) for row in rows])


def main(folder: Path) -> None:
    tokens, recordings = TokenTable.characters(), clips()
    model = learn(recordings[: len(recordings) // 2], tokens)
    config = ExportConfig(
        name="by-heart", engines=("onnx", "tflite"), max_utterance_s=5.0,
        calibration=CalibrationConfig(clips=6), parity=replace(PARITY, clips=6),
    )  # fmt: skip
    # Few signatures: each is a graph of its own in the file.
    with mock.patch.object(to_tflite, "BATCHES", (1, 4)), mock.patch.object(to_tflite, "FRAMES", (64,)):
        manifest = export(Source(model, tokens, recordings), folder, config)
    print(manifest.parity)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "by_heart")
