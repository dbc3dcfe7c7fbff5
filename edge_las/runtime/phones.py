"""The head of phones: computed from what the Listener encoded, where a grammar asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest, check_files
from edge_las.errors import ArtifactError, one_line
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, PHONES, Lexicon, load_lexicon
from edge_las.search.phones import phone_scores

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PhoneJudge:
    """Judges sentences by how well their phones fit what was heard."""

    weights: Array  # (E + 1, P): a row for each dimension of what is encoded, and the bias
    lexicon: Lexicon

    def scores(self, encoded: Array, sentences: Sequence[str]) -> npt.NDArray[np.float64] | None:
        """Give the log prob of each sentence's phones in encoded (1, T, E); None if a word is unknown."""
        return phone_scores(self.lexicon, self.log_probs(encoded), sentences)

    def log_probs(self, encoded: Array) -> Array:
        """Give the log probs of the phones (T, P), of encoded (1, T, E), were all phones equally common."""
        logits = encoded[0].astype(np.float32) @ self.weights[:-1] + self.weights[-1]
        result: Array = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return result


def load_phone_judge(folder: Path, manifest: Manifest) -> PhoneJudge | None:
    """Load the head and the lexicon of an artifact; None if it lacks one.

    Raises: ArtifactError naming the file.
    """
    if not {PHONE_HEAD_NAME, LEXICON_NAME} <= manifest.files.keys():
        return None
    # Since the artifact was verified they may have been replaced.
    check_files(folder, manifest, (PHONE_HEAD_NAME, LEXICON_NAME))
    path, shape = folder / PHONE_HEAD_NAME, (manifest.listener.encoded_dim + 1, len(PHONES))
    try:
        weights = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: not weights that can be read: {one_line(error)}") from None
    if not isinstance(weights, np.ndarray) or weights.shape != shape or weights.dtype.kind != "f":
        raise ArtifactError(f"{path}: must hold {shape[0]} x {shape[1]} real numbers")
    return PhoneJudge(weights.astype(np.float32), load_lexicon(folder / LEXICON_NAME))
