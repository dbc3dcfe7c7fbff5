"""From a trained checkpoint to an artifact, by the program `python -m export` of the checkout.

`export` is no part of the installed package, and nothing here may import it (its name is too common): a build
that trains needs the checkout that this edge_las lies in.
"""

import os
import subprocess
import sys
from pathlib import Path

import edge_las
from edge_las.errors import ArtifactError, DeviceError

# Few recordings, as a domain is much alike.
OPTIONS = ("--calibration-clips", "100", "--dev-clips", "60")


# What comes of the build is printed; what comes of a step of it is progress.
_STDERR = 2


def checkout() -> Path:
    """Find the checkout that this edge_las lies in.

    Raises: DeviceError if edge_las was installed without it.
    """
    root = Path(edge_las.__file__).resolve().parents[1]
    if not (root / "export" / "__main__.py").is_file():
        raise DeviceError(
            f"{root}: holds no export/, which a build that trains needs: run it from a checkout of edge-las "
            "(pip install -e '.[domain,export]'), or give --no-train"
        )
    return root


def export_artifact(
    checkpoint: Path, speech: Path, out: Path, name: str, engines: str, seconds: float
) -> None:
    """Write the int8 artifact of a checkpoint for some engines, calibrated and proved on a flat corpus.

    seconds: the longest piece that the Speller is given. Raises: ArtifactError if it is not proved equal.
    """
    root = checkout()
    command = [sys.executable, "-m", "export", str(checkpoint.resolve()), "--out", str(out.resolve())]
    command += ["--calibrate", str(speech.resolve()), "--name", name, "--engines", engines]
    command += ["--max-utterance-s", f"{seconds:g}"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([*command, *OPTIONS], cwd=root, env=environment, check=False, stdout=_STDERR)
    if done.returncode != 0:
        raise ArtifactError(f"{checkpoint}: python -m export ended with status {done.returncode}; see above")
