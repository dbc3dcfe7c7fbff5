"""What a recipe may say: model, data, augmentation and optimisation, each with its one default."""

from dataclasses import dataclass, field

from edge_las.config import check_at_least, check_share
from edge_las.errors import ConfigError
from edge_las.features import FeatureConfig


@dataclass(frozen=True)
class CompactListenerConfig:
    """The streaming Listener: separable convolutions at 20 ms, then at 40 ms."""

    stem_channels: int = 192
    stem_blocks: int = 2
    stem_kernel_size: int = 9
    channels: int = 288
    blocks: int = 10
    kernel_size: int = 11
    expansion: int = 2
    # Frames each block looks ahead, at its own rate; their sum is the Listener's delay.
    right_context: int = 1
    encoded_dim: int = 256
    dropout: float = 0.1
    # After this block a second CTC loss is taken (Lee & Watanabe 2021, arXiv:2102.03216); 0 = none.
    inter_ctc_block: int = 5

    def __post_init__(self) -> None:
        check_at_least(self, 1, "stem_channels", "stem_kernel_size", "channels", "blocks", "kernel_size")
        check_at_least(self, 1, "expansion", "encoded_dim")
        check_at_least(self, 0, "stem_blocks", "right_context", "inter_ctc_block")
        check_share(self, "dropout")
        if self.stem_blocks * self.right_context % 2:
            raise ConfigError(
                "stem_blocks * right_context must be even: the delay at 20 ms is halved at 40 ms"
            )
        if self.inter_ctc_block >= self.blocks:
            raise ConfigError(
                f"inter_ctc_block is {self.inter_ctc_block}, must be below blocks ({self.blocks})"
            )


@dataclass(frozen=True)
class PyramidListenerConfig:
    """The paper's pyramidal BLSTM (arXiv:1508.01211, section 3.1)."""

    hidden: int = 256
    pyramid_layers: int = 2
    encoded_dim: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_at_least(self, 1, "hidden", "pyramid_layers", "encoded_dim")
        check_share(self, "dropout")


@dataclass(frozen=True)
class SpellerConfig:
    """The recurrent Speller and its attention."""

    embedding_dim: int = 128
    hidden: int = 320
    attention_dim: int = 128
    location_channels: int = 8
    location_kernel_size: int = 31
    dropout: float = 0.15

    def __post_init__(self) -> None:
        check_at_least(self, 1, "embedding_dim", "hidden", "attention_dim", "location_channels")
        check_share(self, "dropout")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the shape of a model; saved in each checkpoint."""

    listener: str = "compact"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    compact: CompactListenerConfig = field(default_factory=CompactListenerConfig)
    pyramid: PyramidListenerConfig = field(default_factory=PyramidListenerConfig)
    speller: SpellerConfig = field(default_factory=SpellerConfig)
    # Digital silence put after every recording, so that a last word is never cut.
    tail_padding_samples: int = 3200
    # A head on the Listener's intermediate layer that names the phone of each frame, for aligned corpora.
    phone_head: bool = False
    # A head that names the phone of each frame, from aligned corpora: grammars are judged by it too. It hears
    # what is encoded and the Listener's block `inter_ctc_block`.
    frame_phones: bool = False
    frame_phone_hidden: int = 128
    frame_phone_channels: int = 96
    # Dimensions of a head on encoded frames that says what a teacher makes of them (edge-las distill).
    teacher_dim: int = 0

    def __post_init__(self) -> None:
        if self.listener not in ("compact", "pyramid"):
            raise ConfigError(f"listener is {self.listener!r}, must be 'compact' or 'pyramid'")
        if self.frame_phones and (self.listener != "compact" or not self.compact.inter_ctc_block):
            raise ConfigError("frame_phones needs the compact Listener, with inter_ctc_block above 0")
        check_at_least(self, 1, "frame_phone_hidden", "frame_phone_channels")
        check_at_least(self, 0, "teacher_dim", "tail_padding_samples")


@dataclass(frozen=True)
class TokensConfig:
    """The token table that is trained from the transcripts."""

    kind: str = "unigram"
    size: int = 300
    # Gumbel noise on piece scores: other segmentations of a word are seen too (Kudo 2018, arXiv:1804.10959).
    sampling_temperature: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("unigram", "characters"):
            raise ConfigError(f"kind is {self.kind!r}, must be 'unigram' or 'characters'")


@dataclass(frozen=True)
class DataConfig:
    """Which clips are heard how often, and in what batches."""

    # Times a data set's clips are heard in an epoch (may be a fraction); data sets not named count 1.
    repeat: dict[str, float] = field(default_factory=dict)
    # Data sets left out altogether, in training and in evaluation.
    exclude: tuple[str, ...] = ()
    # Clips with one of these words in their text, also as "word's", are left out of training.
    exclude_words: tuple[str, ...] = ()
    max_seconds: float = 17.0
    # The sound of the whole corpus lies in the GPU's memory: loaders then only say what is heard.
    resident: bool = False
    batch_seconds: float = 600.0
    max_batch_clips: int = 256
    # Short clips are joined to phrases with this probability, so that single words also teach sequences.
    join_probability: float = 0.5
    join_below_seconds: float = 2.0
    join_max_clips: int = 7
    # Clips that are longer are replaced with this probability by phrases of the same voice, out of several
    # clips, where a corpus has been aligned (edge-las align).
    splice_probability: float = 0.0
    # In this many first epochs only clips below `easy_below_seconds` are heard, one by one: CTC stays at
    # chance for very long on sentences, and leaves it within minutes on single words (docs/notes.md).
    easy_epochs: int = 0
    easy_below_seconds: float = 1.2
    workers: int = 0
    # At most this many dev clips of each data set are evaluated (0 = all).
    dev_clips: int = 0

    def __post_init__(self) -> None:
        check_share(self, "join_probability", "splice_probability")
        check_at_least(self, 1, "batch_seconds", "max_batch_clips", "join_max_clips")
        check_at_least(self, 0, "easy_epochs", "workers", "dev_clips")
        for name, times in self.repeat.items():
            if not times >= 0.0:
                raise ConfigError(f"repeat.{name} is {times}, must be at least 0")


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of waveforms and features; probabilities are per clip."""

    speed_min: float = 0.85
    speed_max: float = 1.15
    gain_min_db: float = -36.0
    gain_max_db: float = -1.0
    room_probability: float = 0.35
    room_rt60_max_s: float = 0.6
    noise_probability: float = 0.6
    snr_min_db: float = 3.0
    snr_max_db: float = 30.0
    babble_probability: float = 0.15
    equalizer_db: float = 8.0
    # Vocal tracts up to so much longer or shorter (Jaitly & Hinton 2013): 0.1 moves 2 kHz to 1.8 or 2.2.
    tract_change: float = 0.0
    telephone_probability: float = 0.1
    lead_max_s: float = 0.4
    freq_masks: int = 2
    freq_mask_bins: int = 14
    time_masks_per_s: float = 0.7
    time_mask_frames: int = 25
    # Noise recordings whose name begins so are kept for evaluation.
    held_back_noise: tuple[str, ...] = ("doing_the_dishes",)

    def __post_init__(self) -> None:
        probabilities = (
            "room_probability",
            "noise_probability",
            "babble_probability",
            "telephone_probability",
        )
        check_share(self, *probabilities, "tract_change")
        check_at_least(self, 0.1, "speed_min")
        lengths = ("lead_max_s", "freq_masks", "freq_mask_bins", "time_masks_per_s", "time_mask_frames")
        check_at_least(self, 0, "room_rt60_max_s", "equalizer_db", *lengths)
        for low, high in (
            ("speed_min", "speed_max"),
            ("gain_min_db", "gain_max_db"),
            ("snr_min_db", "snr_max_db"),
        ):
            if not getattr(self, low) <= getattr(self, high):
                raise ConfigError(f"{low} is {getattr(self, low)}, above {high} ({getattr(self, high)})")


@dataclass(frozen=True)
class LossConfig:
    """Joint CTC/attention (Kim et al. 2017, arXiv:1609.06773)."""

    # 1 trains the Listener alone, at nearly twice the speed on a CPU: the Speller keeps its weights.
    ctc_weight: float = 0.3
    inter_ctc_weight: float = 0.3
    label_smoothing: float = 0.1
    # Cross entropy of each frame's phone, and of the attention lying where the token is said, where a corpus
    # has been aligned (edge-las align). Both fall linearly to nothing over `aligned_steps` (0 = never).
    phone_weight: float = 0.0
    attention_weight: float = 0.0
    aligned_steps: int = 0
    # Of the head that names each frame's phone (model.frame_phones): cross entropy, and lattice-free MMI
    # (edge_las/train/mmi.py), for a head that cross entropy has taught.
    frame_phone_weight: float = 1.0
    phone_mmi_weight: float = 0.0
    # Whether the Listener learns by these two, too.
    phones_teach_listener: bool = False
    # Mean squared distance to the teacher's frames, where one has heard the corpus (edge-las distill).
    teacher_weight: float = 0.0
    # Cross entropy to the CTC posteriors of a larger model of the same tokens (edge-las train --larger).
    larger_weight: float = 0.0
    scheduled_sampling: float = 0.1

    def __post_init__(self) -> None:
        check_share(self, "ctc_weight", "label_smoothing", "scheduled_sampling")
        check_at_least(self, 0, "inter_ctc_weight", "phone_weight", "attention_weight", "aligned_steps")
        check_at_least(self, 0, "frame_phone_weight", "phone_mmi_weight", "teacher_weight", "larger_weight")


@dataclass(frozen=True)
class OptimConfig:
    """Warm-up, then cosine decay by steps or by minutes, whichever is further on."""

    # "muon" makes the steps of large matrices orthogonal (edge_las/train/optim.py).
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    # The Listener and the heads that draw it learn at this share of the rate: a Speller can catch up beside a
    # Listener that has settled. 0: all but these stand still.
    listener_share: float = 1.0
    warmup_steps: int = 1000
    max_steps: int = 20000
    max_minutes: float = 0.0
    weight_decay: float = 0.01
    beta2: float = 0.98
    clip_norm: float = 2.0
    # Batches whose gradients make one step, over all processes together.
    accumulate: int = 1
    ema_decay: float = 0.999
    precision: str = "bf16"
    # Training computes with the int8 values of the export, for the last steps of a model (docs/training.md).
    quantize_aware: bool = False
    # Compile the compact model's training passes: 1.5 times the speed on a CPU, which needs a C++ compiler.
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("bf16", "float32"):
            raise ConfigError(f"precision is {self.precision!r}, must be 'bf16' or 'float32'")
        if self.optimizer not in ("adamw", "muon"):
            raise ConfigError(f"optimizer is {self.optimizer!r}, must be 'adamw' or 'muon'")
        check_share(self, "listener_share", "beta2", "ema_decay")
        check_at_least(self, 0, "learning_rate", "final_learning_rate", "warmup_steps", "max_minutes")
        check_at_least(self, 0, "weight_decay", "clip_norm")
        check_at_least(self, 1, "max_steps", "accumulate")
        if self.compiled and (self.quantize_aware or self.precision != "bf16"):
            raise ConfigError("optim.compiled goes with precision 'bf16' and without quantize_aware only")


@dataclass(frozen=True)
class LoopConfig:
    """When to evaluate, save and stop."""

    seed: int = 1
    evaluate_steps: int = 1000
    checkpoint_minutes: float = 3.0
    # Evaluations without a better dev WER before training stops; 0 = never.
    patience: int = 0
    log_steps: int = 20

    def __post_init__(self) -> None:
        check_at_least(self, 1, "evaluate_steps", "log_steps")
        check_at_least(self, 0, "checkpoint_minutes", "patience")


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    name: str
    model: ModelConfig = field(default_factory=ModelConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.loss.teacher_weight > 0.0 and not self.model.teacher_dim:
            raise ConfigError("loss.teacher_weight is above 0, but model.teacher_dim is 0")
        if self.loss.phone_mmi_weight > 0.0 and not self.model.frame_phones:
            raise ConfigError("loss.phone_mmi_weight is above 0, but model.frame_phones is false")
