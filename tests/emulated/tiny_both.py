"""Makes tests/data/tiny_both: the tiny model of random weights for both engines, int8.

python -m tests.emulated.tiny_both [DIR] needs the extra export-tflite; what it made is committed because the
tests that use it must not need a converter of 1 GB.
"""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

from export import to_tflite
from export.calibration import CalibrationConfig
from export.config import ExportConfig
from export.run import Source, export
from tests.tiny_artifact import PARITY, SEARCH, recordings, tiny_model

FOLDER = Path(__file__).resolve().parents[1] / "data" / "tiny_both"


def main(folder: Path) -> None:
    config = ExportConfig(
        name="tiny", engines=("onnx", "tflite"), search=dict(SEARCH), max_utterance_s=5.0,
        calibration=CalibrationConfig(clips=9, max_seconds=3.0), parity=replace(PARITY, graph_clips=3),
    )  # fmt: skip
    model, tokens = tiny_model()
    # Few signatures: each is a graph of its own in the file.
    with mock.patch.object(to_tflite, "BATCHES", (1, 4)), mock.patch.object(to_tflite, "FRAMES", (64,)):
        export(Source(model, tokens, recordings()), folder, config)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
