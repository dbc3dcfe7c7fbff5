"""What an export may be told, with its one default each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_las.errors import ConfigError
from export.calibration import CalibrationConfig
from export.parity import ParityConfig
from export.quantize import QuantizeConfig

ENGINES = ("onnx", "tflite")
PRECISIONS = ("int8", "tensorrt", "float16", "float")
# Those with int8 in them, which are calibrated.
CALIBRATED = ("int8", "tensorrt")


@dataclass(frozen=True)
class ExportConfig:
    """One artifact."""

    name: str = "edge-las"
    language: str = "en"
    engines: tuple[str, ...] = ("onnx",)
    precision: str = "int8"
    # 320 ms a chunk: 8 encoded frames, enough rows for the matrix kernels.
    chunk_frames: int = 32
    # None takes what the training texts' fastest speech would need.
    max_tokens_per_s: float | None = None
    # No longer than what the Speller was trained on.
    max_utterance_s: float = 16.0
    # Where to write what each layer costs in int8.
    report: Path | None = None
    # On so many dev recordings.
    report_clips: int = 24
    # The file of an Ed25519 private key.
    sign: Path | None = None
    # Settings of search and gate that were measured to be best, over BeamConfig's and GateConfig's defaults.
    search: dict[str, bool | int | float] = field(default_factory=dict)
    # Measured accuracy, for the manifest as it is.
    accuracy: dict[str, Any] = field(default_factory=dict)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    parity: ParityConfig = field(default_factory=ParityConfig)

    def __post_init__(self) -> None:
        for engine in self.engines:
            if engine not in ENGINES:
                raise ConfigError(f"engine is {engine!r}, must be one of {', '.join(ENGINES)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}, must be one of {', '.join(PRECISIONS)}")
        if self.report and self.precision != "int8":
            raise ConfigError(f"report is of what int8 costs, precision is {self.precision!r}")
        if self.report and not self.report.parent.is_dir():
            raise ConfigError(f"{self.report}: no such folder to write to")
        if self.precision in ("float16", "tensorrt") and self.engines != ("onnx",):
            raise ConfigError(f"precision is {self.precision!r}, which is for engine onnx alone")
