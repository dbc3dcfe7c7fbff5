"""From a page of sentence templates to a model that was trained for them, in steps that are kept."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edge_las.artifact import MANIFEST_NAME, sha256_file
from edge_las.config import to_dict
from edge_las.domain.assemble import Findings, assemble, domain_lexicon, estimate_lm, unsaid
from edge_las.domain.casting import cast, speaker
from edge_las.domain.compiled import read_compiled
from edge_las.domain.exporting import checkout, export_artifact
from edge_las.domain.measure import (
    LM_WEIGHTS,
    SEARCH,
    Heard,
    accuracy,
    choose,
    hear_once,
    tokens_per_second,
)
from edge_las.domain.mixing import choose_real, copy_clips, hours_to_decode, spread
from edge_las.domain.noises import recorded_noise, write_noises
from edge_las.domain.plan import REAL_NEGATIVES, make_plan
from edge_las.domain.shards import Sentence, SynthesisConfig
from edge_las.domain.synthesize import describe_plan, synthesize
from edge_las.domain.teach import TUNED_SHARE, blend, domain_recipe, teach
from edge_las.domain.texts import COMMAND, domain_texts
from edge_las.domain.voices import list_voices
from edge_las.errors import ConfigError
from edge_las.ngram import NgramModel
from edge_las.staging import check_replaceable
from edge_las.tokens import TokenTable
from edge_las.train.corpus import INDEX_FILE, Corpus
from edge_las.train.decode import open_corpus
from edge_las.train.run import load_noises

Tell = Callable[[str], None]
# Of the voices, and of the base checkpoint.
LANGUAGE = "en"
_CALIBRATION_CLIPS = 150


@dataclass(frozen=True)
class BuildConfig:
    """What to build, from what, and for how long."""

    source: Path
    out: Path
    base: Path
    minutes: float = 55.0
    speech: tuple[Path, ...] = ()
    noise: Path | None = None
    real_hours: float = 6.0
    # Real recordings that hold a word of the domain are not heard: proves that none is needed.
    leave_words_out: bool = False
    voices: tuple[str, ...] = ()
    sentences: int = 0
    seed: int = 1
    jobs: int = os.cpu_count() or 1
    overrides: tuple[str, ...] = ()
    # Of the artifact, as `python -m export` takes them.
    engines: str = "onnx"
    work: Path | None = None


class Build:
    """One build: everything that can be wrong is found when it is made, before anything slow begins."""

    def __init__(self, config: BuildConfig, tell: Tell) -> None:
        """Read the templates, the base, the voices; make the plan.

        Raises: ConfigError naming file and line; ArtifactError, DeviceError.
        """
        self.config, self._tell = config, tell
        self.tokens = TokenTable.load(config.base / "tokens.txt")
        self.compiled = read_compiled(config.source, self.tokens, LANGUAGE)
        check_replaceable(config.out)
        checkout()
        self.recipe = domain_recipe(config.base, config.overrides, config.seed, tell)
        self.cast = cast(list_voices(config.voices or None), config.seed)
        self.noise = recorded_noise(config.noise, config.speech)
        if self.noise:
            load_noises(self.noise, self.recipe.augment)
        decode = hours_to_decode(config.speech) if config.speech else None
        compiled = self.recipe.optim.compiled
        self.plan = make_plan(config.minutes, self.cast, config.jobs, decode, config.sentences, compiled)
        self.sentences = self._sentences()
        self.work = config.work or config.out.with_name(config.out.name + ".build")

    def describe(self) -> list[str]:
        """Say what will be done."""
        people = {split: {speaker(voice) for voice in voices} for split, voices in self.cast.items()}
        kept = sorted(people["test"] - people["train"])
        engines = sorted({voice.engine for voices in self.cast.values() for voice in voices})
        heard = f"voices: {len(people['train'])} speakers of {', '.join(engines)}"
        kept_line = f"kept back for the test: {', '.join(kept)}" if kept else "NONE is kept back for the test"
        real = ", ".join(map(str, self.config.speech)) or "NONE (--speech): expect less of real voices"
        noise = f"made here{f', and {self.noise}' if self.noise else ''}"
        lines = [str(self.compiled), f"{heard}; {kept_line}", f"real speech: {real}; noise: {noise}"]
        return [*lines, *self.plan.lines(), f"   kept in   {self.work}"]

    def run(self) -> dict[str, Any]:
        """Do what is not yet done; return what was measured on voices that were kept back.

        Raises: ConfigError if another build is at work in the same folder.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        with alone_in(self.work):
            return self._run_steps()

    def _run_steps(self) -> dict[str, Any]:
        began = time.monotonic()
        speech = self._step("speech", self._speak)
        real = self._step("real", self._choose_real) if self.config.speech else None
        heard = [speech, *([real] if real else [])]
        best = self._step("teach", lambda: self._teach(heard))
        draft = self._step("export", lambda: self._export(best, heard))
        measured = self._step("measure", lambda: self._measure(draft, heard))
        unknown = assemble(self.compiled, draft, self.config.out, self.lm, measured)
        if unknown:
            self._tell(unsaid(unknown))
        self._tell(f"{self.config.out}: built in {(time.monotonic() - began) / 60:.1f} min")
        return dict(measured.accuracy["domain"])

    def _step(self, name: str, work: Callable[[], Any]) -> Any:
        began, minutes = time.monotonic(), self.plan.minutes[name]
        until = time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))
        self._tell(f"{name}: about {minutes:.1f} min, until {until}")
        result = work()
        self._tell(f"{name}: took {(time.monotonic() - began) / 60:.1f} min")
        return result

    def _sentences(self) -> list[Sentence]:
        rows = []
        for number, (split, counts) in enumerate(self.plan.counts.items()):
            seed = (self.config.seed, number)
            texts = domain_texts(self.compiled, counts, seed)
            rows += [Sentence(text, kind, split) for text, kind in texts]
        return rows

    def _speak(self) -> Path:
        config = SynthesisConfig(seed=self.config.seed, jobs=self.config.jobs)
        out = self._folder("speech", describe_plan(self.sentences, self.cast, config))
        if not (out / INDEX_FILE).exists():
            synthesize(self.sentences, out, self.cast, config)
            shutil.rmtree(out / "shards")
        return out

    def _choose_real(self) -> Path:
        config = self.config
        corpus = open_corpus(config.speech, self.work / "decoded")
        commands = [row.text for row in self.sentences if row.dataset == COMMAND]
        words = {word for text in commands for word in text.split()}
        clips = choose_real(
            corpus, config.real_hours, REAL_NEGATIVES, words, config.leave_words_out,
            self.compiled.automaton.accepts, self.recipe.data.max_seconds, config.seed,
        )  # fmt: skip
        out = self._folder("real", [[clip.id, clip.dataset, clip.num_samples] for clip in clips])
        return copy_clips(corpus, clips, out)

    def _teach(self, heard: Sequence[Path]) -> Path:
        config = self.config
        weights = sha256_file(config.base / "weights.safetensors")
        recorded = str(self.noise.resolve()) if self.noise else None
        noise = self._folder("noise", [heard[0].name, recorded])
        write_noises(noise, heard[0], self.noise, config.seed)
        out = self._folder(
            "model", [to_dict(self.recipe), weights, [path.name for path in heard], noise.name]
        )
        tuned = teach(self.recipe, heard, config.base, out, self.plan.minutes["teach"], noise)
        mixed = self._folder("blend", [weights, sha256_file(tuned / "weights.safetensors"), TUNED_SHARE])
        return mixed if mixed.exists() else blend(config.base, tuned, mixed, TUNED_SHARE, heard)

    def _export(self, best: Path, heard: Sequence[Path]) -> Path:
        config, weights = self.config, sha256_file(best / "weights.safetensors")
        out = self._folder("artifact", [weights, config.engines, *(path.name for path in heard)])
        if not (out / MANIFEST_NAME).exists():
            corpus = Corpus(heard)
            # Proved on commands: what else is said only has to be told from them.
            proved = [clip for clip in corpus.clips if clip.split == "train" or clip.dataset == COMMAND]
            clips = copy_clips(corpus, spread(proved, _CALIBRATION_CLIPS), out.with_name(out.name + ".clips"))
            seconds = self.recipe.data.max_seconds
            export_artifact(best, clips, out, config.out.name, config.engines, seconds)
        return out

    def _measure(self, draft: Path, heard: Sequence[Path]) -> Findings:
        """Choose by the dev split what the search needs, and test it on the test split."""
        corpus = Corpus(heard)
        rate = tokens_per_second(corpus, self.tokens)
        trials = {weight: self._hear(draft, corpus, "dev", weight, rate) for weight in LM_WEIGHTS}
        weight, threshold = choose(trials)
        found = accuracy(self._hear(draft, corpus, "test", weight, rate), threshold)
        search = {**SEARCH, "grammar_max_loss": threshold, "lm_weight": weight}
        return Findings(search, {"domain": found}, rate)

    def _hear(self, draft: Path, corpus: Corpus, split: str, weight: float, rate: float) -> list[Heard]:
        """Recognize a split once."""
        grammar = hashlib.sha256(repr(self.compiled.grammar).encode()).hexdigest()
        lexicon, _ = domain_lexicon(self.compiled, draft)
        said = [] if lexicon is None else [str(lexicon)]
        trial = self._folder("heard", [draft.name, grammar, weight, rate, SEARCH, *said])
        model, clips = trial / "model", [clip for clip in corpus.clips if clip.split == split]
        if not model.exists():
            settings = {**SEARCH, "lm_weight": weight}
            assemble(self.compiled, draft, model, self.lm, Findings(settings, {}, rate))
        return hear_once(model, corpus, clips, trial / f"{split}.jsonl")

    @cached_property
    def lm(self) -> NgramModel:
        """The language model of what is spoken for training."""
        return estimate_lm([row.text for row in self.sentences if row.split == "train"], self.tokens)

    def _folder(self, name: str, contents: Any) -> Path:
        """Name a step's folder by what it is made of: nothing is used for what it was not made for."""
        text = json.dumps(contents, sort_keys=True, default=str)
        return self.work / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other builds out of a folder; a build that is killed lets go of it.

    Raises: ConfigError if one is there.
    """
    with open(folder / "lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder}: another build is at work there") from None
        yield
