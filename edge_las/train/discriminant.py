"""Linear discriminant analysis: the few directions of many dimensions that tell classes apart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.staging import whole_file

FloatArray = npt.NDArray[np.float32]
# Rarer classes say little of their mean.
_LEAST_FRAMES = 60
# What every dimension varies within a class at least, in units of its whole variance.
_FLOOR = 0.01


@dataclass(frozen=True)
class Discriminant:
    """A projection whose dimensions vary the more, the better they tell classes apart."""

    mean: FloatArray  # (D,)
    projection: FloatArray  # (D, K), the best direction first

    def __call__(self, frames: FloatArray) -> FloatArray:
        """Project frames (F, D) to (F, K)."""
        return np.matmul(frames - self.mean, self.projection, dtype=np.float32)

    @classmethod
    def fit(cls, frames: FloatArray, classes: npt.NDArray[np.int64], dim: int) -> "Discriminant":
        """Find `dim` directions from frames (F, D) and the class of each, (F,).

        Each direction's variance is the share of it that the classes explain.
        """
        _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
        common = counts[index] >= _LEAST_FRAMES
        frames, index = frames[common], index[common]
        mean, spread = frames.mean(axis=0), frames.std(axis=0).clip(1e-6)
        frames = (frames - mean) / spread
        order = np.argsort(index, kind="stable")
        begins = np.flatnonzero(np.diff(index[order], prepend=-1))
        share = np.diff(begins, append=len(order))[:, None]
        means = np.add.reduceat(frames[order], begins) / share
        between = (means * share).T @ means / len(frames)
        within = np.cov(frames.T, bias=True) - between + _FLOOR * np.eye(frames.shape[1])
        white = np.linalg.inv(np.linalg.cholesky(within))
        values, directions = np.linalg.eigh(white @ between @ white.T)
        best = np.argsort(values)[::-1][:dim]
        ratio = values[best].clip(0.0)
        # Along each direction the variance within classes is 1, between them `ratio`.
        scale = np.sqrt(ratio) / (1.0 + ratio)
        projection = (white.T @ directions[:, best]) * scale / spread[:, None]
        return cls(mean.astype(np.float32), projection.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        with whole_file(path) as file:
            np.savez(file, mean=self.mean, projection=self.projection)

    @classmethod
    def load(cls, path: Path) -> "Discriminant":
        """Read what `save` wrote."""
        arrays = np.load(path)
        return cls(arrays["mean"], arrays["projection"])
