"""Audio of any length, as it arrives, recognized in pieces that the Speller can take."""

from collections.abc import Sequence

from edge_las.runtime.result import Result, join_results
from edge_las.runtime.segment import FloatArray, PieceCutter
from edge_las.runtime.setup import Setup
from edge_las.runtime.utterance import Utterance
from edge_las.search.fusion import Scorer


class Transcription:
    """One recording being recognized; memory does not grow with its length."""

    def __init__(self, setup: Setup, scorers: Sequence[Scorer] = ()) -> None:
        self._setup = setup
        self._scorers = scorers
        manifest = setup.manifest
        self._cutter = PieceCutter(manifest.speller.max_utterance_s, manifest.features.sample_rate)
        self._utterance = Utterance(setup, scorers)
        self._pieces: list[Result] = []

    def accept(self, samples: FloatArray) -> str:
        """Take samples (s,); return the text of the pieces that ended with them, which is final."""
        before = len(self._pieces)
        for part, ends in self._cutter.accept(samples):
            self._utterance.accept(part)
            if ends:
                self._pieces.append(self._utterance.finish())
                self._utterance = Utterance(self._setup, self._scorers)
        return " ".join(piece.text for piece in self._pieces[before:] if piece.text)

    def finish(self) -> Result:
        """Recognize the rest; return the whole."""
        self._utterance.accept(self._cutter.finish())
        if self._utterance.duration_s or not self._pieces:
            self._pieces.append(self._utterance.finish())
        return join_results(self._pieces)
