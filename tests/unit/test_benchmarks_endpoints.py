import json

import numpy as np
import pytest

from benchmarks import endpoints
from benchmarks.endpoints import endpoint, said_between
from edge_las.runtime.speech_states import EndpointConfig
from tests.runtime.test_cli import write_wav

RATE = 16000


def burst(before_s, loud_s, after_s, level=0.2):
    quiet = [np.zeros(int(seconds * RATE)) for seconds in (before_s, after_s)]
    tone = level * np.sin(2 * np.pi * 300 * np.arange(int(loud_s * RATE)) / RATE)
    return np.concatenate([quiet[0], tone, quiet[1]]).astype(np.float32)


def test_what_was_said_lies_within_30_db_of_the_loudest():
    assert said_between(burst(0.5, 1.0, 0.3)) == pytest.approx((0.5, 1.5))
    quieter = np.concatenate([burst(0.0, 0.2, 0.0, 0.2), burst(0.0, 0.2, 0.0, 0.002)])
    assert said_between(quieter) == pytest.approx((0.0, 0.2))


def test_the_wait_runs_from_the_last_sound():
    found = endpoint(burst(0.2, 0.6, 0.1), "energy", EndpointConfig(trailing_silence_s=0.3))
    ((start, end),) = found.utterances
    assert start < 0.2 and end == pytest.approx(0.8 + 0.2, abs=0.03)
    assert found.wait_s == pytest.approx(0.3, abs=0.03)


def test_the_command_counts(tmp_path, capsys):
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for number, parts in enumerate([(0.3,), (0.3, 0.3)]):
        sound = np.concatenate([burst(0.2, length, 0.7) for length in parts])
        write_wav(tmp_path / f"{number}.wav", sound)
        rows.append(f"c{number}\twords\ts\tdev\tone\t{number}.wav\t{sound.size / RATE}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out.json"
    assert endpoints.main(["--speech", str(tmp_path), "--vad", "energy", "--json", str(out)]) == 0
    found = json.loads(out.read_text())["detectors"]["energy"]["all"]
    assert (found["recordings"], found["missed"], found["split"]) == (2, 0, 1)
    assert (found["begins_late"], found["ends_early"]) == (0, 0)
    assert 0.38 < found["wait_s"]["max"] < 0.45
    assert "2 recordings" in capsys.readouterr().out
