"""The README's blocks marked `sh` and `python` are run as they stand; those marked `bash` only show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_las.runtime.recognizer import default_model

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
BLOCKS = re.findall(
    r"^```(sh|python)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
)


@pytest.mark.skipif(not default_model().is_dir(), reason="no model is bundled")
@pytest.mark.parametrize(
    ("language", "block"), BLOCKS, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(BLOCKS)]
)
def test_block_runs(language: str, block: str, tmp_path: Path) -> None:
    if language == "sh" and not (BIN / "edge-las").exists():
        pytest.skip("edge-las is not installed beside this Python: pip install -e .")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    command = ["sh", "-eu", "-c", block] if language == "sh" else [sys.executable, "-c", block]
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip()


def test_readme_has_blocks_to_run() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}
