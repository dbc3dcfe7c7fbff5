"""The sound of a whole corpus in the memory of a GPU, and utterances laid out of it.

18 hours of 16-bit PCM take 2 GB. Handing a GPU 40 MB of samples a step took longer than the step
(docs/notes.md).
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from edge_las.train.corpus import Corpus
from edge_las.train.utterances import FADE, Utterance

# Columns of a stretch: utterance of the batch, first sample there, first sample in all corpora one after the
# other, samples, whether it is faded in and out.
_COLUMNS = 6
_READ_SAMPLES = 1 << 26  # at a time, into the device's memory


def stretch_rows(corpus: Corpus, utterances: Sequence[Utterance]) -> Tensor:
    """Say where the samples of utterances lie: (M, 6) int64."""
    begins = [0, *accumulate(corpus.sizes)] if utterances else []
    rows = [
        (n, s.at, begins[s.corpus] + s.offset, s.samples, s.fade_in, s.fade_out)
        for n, utterance in enumerate(utterances)
        for s in utterance.stretches
    ]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, _COLUMNS)


class Sound:
    """All samples of a corpus on a device."""

    def __init__(self, corpus: Corpus, device: torch.device) -> None:
        self._samples = torch.empty(sum(corpus.sizes), dtype=torch.int16, device=device)
        at = 0
        for i, size in enumerate(corpus.sizes):
            for begin in range(0, size, _READ_SAMPLES):
                part = torch.from_numpy(corpus.read(i, begin, _READ_SAMPLES).copy())
                self._samples[at : at + len(part)].copy_(part)
                at += len(part)
        self._fade = torch.from_numpy(FADE).to(device)

    def lay(self, stretches: Tensor, lengths: Tensor) -> Tensor:
        """Lay stretches (M, 6) to utterances of lengths (N,), both of the CPU: (N, S) int16 of the device."""
        total, longest = int(stretches[:, 3].sum()), int(lengths.max())
        row, at, source, count, fade_in, fade_out = stretches.to(self._samples.device).unbind(dim=1)
        numbers = torch.arange(len(count), device=count.device)
        owner = torch.repeat_interleave(numbers, count, output_size=total)
        inside = torch.arange(total, device=count.device) - (count.cumsum(0) - count)[owner]
        heard = self._samples[source[owner] + inside]
        last = len(self._fade) - 1
        left = torch.where(fade_in[owner] > 0, inside, last).clamp(max=last)
        right = torch.where(fade_out[owner] > 0, count[owner] - 1 - inside, last).clamp(max=last)
        gain = self._fade[left] * self._fade[right]
        out = torch.zeros(len(lengths) * longest, dtype=torch.int16, device=count.device)
        out[row[owner] * longest + at[owner] + inside] = (heard * gain).to(torch.int16)
        return out.view(len(lengths), longest)
