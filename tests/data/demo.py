"""`make demo`: what edge-las hears in recordings of tests/data/clips, beside what was said."""

import csv
import subprocess
import sys
from pathlib import Path

CLIPS = Path(__file__).parent / "clips"


def main(names: list[str]) -> int:
    with open(CLIPS / "transcripts.tsv", encoding="utf-8", newline="") as file:
        said = {row["path"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
    command = [Path(sys.executable).with_name("edge-las"), "transcribe", *(CLIPS / name for name in names)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    for name, heard in zip(names, run.stdout.splitlines(), strict=False):
        print(f"\n{name}\n  said:  {said[name]}\n  heard: {heard}")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
