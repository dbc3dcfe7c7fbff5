import io
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from edge_las import cli, pronouncing
from edge_las.artifact import load_manifest, verify
from edge_las.audio import float_to_pcm
from edge_las.cli import COMMANDS, Command, main
from edge_las.errors import ConfigError, EdgeLasError
from edge_las.lexicon import LEXICON_NAME, Lexicon, load_lexicon, save_lexicon
from edge_las.ngram import NGRAM_NAME, load_ngrams
from edge_las.runtime import recognizer as recognizer_module
from edge_las.runtime.lm import put_file, read_sentences
from edge_las.runtime.recognizer import Recognizer, default_model, model_folder
from edge_las.word_table import WORDS_NAME, WordTable
from tests.runtime import tone_engine as tones

KEYS = ["file", "text", "confidence", "words", "nbest", "duration_s", "rtf", "latency_ms", "intent"]


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(float_to_pcm(samples).tobytes())
    return str(path)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder that loads as the tone recognizer."""
    return str(tones.loadable_artifact(tmp_path / "model", monkeypatch))


def test_text_of_several_files(model, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{name}.wav", tones.say(name)) for name in ("one", "two")]
    assert main(["transcribe", *files, "--model", model]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


def test_json_lines_have_the_stated_keys(model, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", tones.say("three one"))
    assert main(["transcribe", file, "--model", model, "--json", "--beam", "2", "--threads", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert list(record) == KEYS
    assert record["file"] == file and record["text"] == "three one" and record["intent"] is None
    assert [list(word) for word in record["words"]] == [["word", "start_s", "end_s", "confidence"]] * 2
    assert all(list(item) == ["text", "score"] for item in record["nbest"])
    assert 1 <= len(record["nbest"]) <= 4


def test_a_bad_file_spoils_nothing_but_the_exit_status(model, tmp_path, capsys, monkeypatch):
    loads = []
    monkeypatch.setattr(recognizer_module, "load_engine", lambda *a: loads.append(a) or tones.ToneEngine())
    good = [write_wav(tmp_path / f"{name}.wav", tones.say(name)) for name in ("one", "two")]
    (tmp_path / "bad.wav").write_bytes(b"RIFFnonsense")
    files = [good[0], str(tmp_path / "bad.wav"), str(tmp_path / "none.wav"), good[1]]
    assert main(["transcribe", *files, "--model", model, "--json"]) == 2
    captured = capsys.readouterr()
    assert [json.loads(line)["text"] for line in captured.out.splitlines()] == ["one", "two"]
    errors = captured.err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"edge-las: error: {files[1]}: ")
    assert errors[1].startswith(f"edge-las: error: {files[2]}: ")
    assert len(loads) == 1


def test_a_file_may_come_from_standard_input(model, tmp_path, capsys, monkeypatch):
    file = tmp_path / "a.wav"
    write_wav(file, tones.say("one two"))
    for data, expected in ((file.read_bytes(), ("one two\n", "")), (b"", ("", "is empty (0 bytes)"))):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["transcribe", "-", "--model", model]) == (2 if expected[1] else 0)
        out, err = capsys.readouterr()
        assert out == expected[0] and expected[1] in err
    assert err == "edge-las: error: standard input: is empty (0 bytes)\n"


def test_a_name_that_cannot_be_shown_is_escaped(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stderr", out)
    assert main(["info", "nö\udcff"]) == 2
    out.flush()
    assert out.buffer.getvalue() == b"edge-las: error: n\\xf6\\udcff: no such model folder\n"


def test_silence_is_no_error(model, tmp_path, capsys):
    file = write_wav(tmp_path / "silence.wav", np.zeros(32000, dtype=np.float32))
    assert main(["transcribe", file, "--model", model]) == 0
    assert capsys.readouterr().out == "\n"


def test_nan_samples_are_an_error(model, tmp_path, capsys):
    soundfile = pytest.importorskip("soundfile")
    samples = tones.say("one")
    samples[5000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    assert main(["transcribe", str(tmp_path / "nan.wav"), "--model", model]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "nan.wav: " in captured.err and "NaN" in captured.err


def test_info_describes_the_model(model, capsys):
    assert main(["info", model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tones (en), format 1, 0.00 MB, verified")
    text = "\n".join(lines)
    for expected in (
        "64 log-mel at 16000 Hz",
        "chunks of 320 ms",
        "delay 120 ms",
        "onnx float",
        "tones.wer 0",
    ):
        assert expected in text
    assert main(["info", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tones"


def test_bundled_models_have_names_and_a_folder_goes_before_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = default_model().with_name("home")
    assert model_folder("home") == bundled and load_manifest(bundled).name == "home"
    for other in ("./home", "base", tmp_path / "home"):
        assert model_folder(other) == Path(other)
    (tmp_path / "home").mkdir()
    assert model_folder("home") == Path("home")


@pytest.mark.spoken
def test_the_bundled_home_understands_its_commands_and_nothing_else(tmp_path, capsys):
    said = {
        "turn on the kitchen lights": ("HassTurnOn", {"domain": "light", "area": "kitchen"}),
        "set a timer for five minutes": ("HassStartTimer", {"minutes": 5}),
        "the history of the old bridge is long and sad": (None, {}),
    }
    files = []
    for number, text in enumerate(said):
        files.append(str(tmp_path / f"{number}.wav"))
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", files[-1], text], check=True)
    assert main(["transcribe", "--model", "home", "--json", *files]) == 0
    heard = [json.loads(line)["intent"] for line in capsys.readouterr().out.splitlines()]
    assert [(intent["intent"], intent["slots"]) for intent in heard] == list(said.values())


def test_the_model_must_be_there_and_whole(model, tmp_path, capsys, monkeypatch):
    file = write_wav(tmp_path / "a.wav", tones.say("one"))
    monkeypatch.setattr(recognizer_module, "default_model", lambda: tmp_path / "nothing")
    for arguments in (["info"], ["transcribe", file]):
        assert main(arguments) == 2
        assert "no model is bundled" in capsys.readouterr().err
    (tmp_path / "model" / "speller.onnx").write_bytes(b"x")
    for arguments in (["info", model], ["transcribe", file, "--model", model]):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"edge-las: error: {model}/speller.onnx: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["transcribe"],
        ["transcribe", "a.wav", "--beam", "0"],
        ["transcribe", "a.wav", "--threads", "many"],
        ["info", "a", "b"],
        ["--", "--"],
    ],
)
def test_usage_errors_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: edge-las" in capsys.readouterr().err


def test_words_and_numbers_that_mean_nothing_are_named(model, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", tones.say("one"))
    assert main(["transcribe", file, "--model", model, "--threads", "100000"]) == 2
    assert capsys.readouterr().err == "edge-las: error: threads is 100000, must be 1 to 256\n"
    assert main(["bench", file, "--threads", "257"]) == 2
    assert "threads is 257" in capsys.readouterr().err
    assert main(["transcribe", file, "--model", ""]) == 2
    assert capsys.readouterr().err == "edge-las: error: the argument after --model is empty\n"
    assert main(["transcribe", file, "--phrases="]) == 2
    assert "the argument --phrases= is empty" in capsys.readouterr().err


def test_texts_without_a_sentence_are_named(model, tmp_path, capsys):
    texts = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    for path in texts:
        (tmp_path / path).write_text("\ufeff\n", encoding="utf-8")
    assert main(["lm", *texts, "--model", model]) == 2
    assert f"{texts[0]}, {texts[1]}: no sentence" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert main(["lm", texts[0], "--model", model, "--out", str(tmp_path / "none" / "lm.npz")]) == 2
    assert capsys.readouterr().err.endswith("none/lm.npz: no such file or directory\n")
    assert main(["lm", texts[0], "--model", model, "--out", str(tmp_path / "lm.npz"), "--order", "50"]) == 0
    # Only as long n-grams as the texts hold.
    assert "n-grams of 1 to 3 tokens" in capsys.readouterr().out


def test_a_language_model_keeps_what_tells_most(model, tmp_path, capsys):
    text = tmp_path / "a.txt"
    text.write_text("one two three four\ntwo four one one\nfour two\none two four\n")
    options = ["lm", str(text), "--model", model, "--out", str(tmp_path / "lm.npz"), "--order", "4"]

    def counts(*more: str) -> list[int]:
        assert main([*options, *more]) == 0
        listed = capsys.readouterr().out.rpartition(": ")[2].partition(" n-grams")[0]
        return [int(count) for count in listed.split(", ")]

    whole = counts()
    assert counts("--most", str(sum(whole))) == whole
    fewer = counts("--most", str(sum(whole) - 4))
    assert sum(whole[:2]) < sum(fewer) <= sum(whole) - 4
    # Those of one and two tokens stay whatever the number.
    assert fewer[:2] == whole[:2] == counts("--most", "1")[:2]
    with pytest.raises(SystemExit):
        main([*options, "--most", "0"])
    assert "argument --most" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_interrupt_and_missing_extra(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "later", Command("no_such_package.train", "x", extra="train"))
    assert main(["later"]) == 2
    assert "later needs the package no_such_package" in (error := capsys.readouterr().err)
    assert "pip install edge-las[train]" in error

    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert main(["info"]) == 130

    def failing(argv):
        raise EdgeLasError("two\nlines")

    monkeypatch.setattr(cli, "_run", failing)
    capsys.readouterr()
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "edge-las: error: two lines\n"


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_importing_everything_loads_no_heavy_package():
    program = (
        "import sys, edge_las, edge_las.cli, edge_las.runtime.recognizer, edge_las.runtime.transcribe;"
        "import edge_las.runtime.info, edge_las.runtime.onnx_engine;"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'soundfile', 'soxr', 'jiwer', 'lhotse', 'sentencepiece'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = python("-c", program)
    assert done.stdout == "[]\n", done.stderr
    assert "numpy" not in python("-c", "import sys, edge_las.cli; print(*sys.modules)").stdout.split()


def test_the_command_survives_a_closed_pipe(tmp_path):
    pytest.importorskip("onnxruntime")
    tiny = pytest.importorskip("tests.runtime.tiny_onnx")
    model = str(tiny.write_artifact(tmp_path / "model"))
    file = write_wav(tmp_path / "a.wav", tones.say("one"))
    command = [sys.executable, "-m", "edge_las", "transcribe", *[file] * 50, "--json", "--model", model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""


def test_sentences_kept_for_testing_are_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("One two.\nthree three three\nfour\n")
    texts = (("two", "train"), ("four", "dev"), ("one two four", "train"), ("Three three, three!", "test"))
    rows = "id\ttext\tsplit\n" + "".join(f"x\t{text}\t{split}\n" for text, split in texts)
    (tmp_path / "m.tsv").write_text(rows)
    paths = [str(tmp_path / name) for name in ("a.txt", "m.tsv")]
    # Single words are nothing to be kept apart.
    assert list(read_sentences(paths)) == ["one two", "four", "two", "one two four"]
    (tmp_path / "m.tsv").write_text("text\tspeaker\none\tx\n")
    with pytest.raises(ConfigError, match=r"m\.tsv: has no columns text and split"):
        list(read_sentences(paths))


def test_a_language_model_goes_into_a_model(model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one\nfour two\n")
    options = ["lm", str(tmp_path / "a.txt"), "--into", model, "--order", "3"]
    assert main([*options, "--weight", "11"]) == 2
    assert "lm_weight is 11.0, must be from 0 to 10" in capsys.readouterr().err
    assert NGRAM_NAME not in load_manifest(model).files
    assert main([*options, "--weight", "0.25"]) == 0
    manifest = load_manifest(model)
    verify(model, manifest)
    assert manifest.search["lm_weight"] == 0.25
    setup = Recognizer.load(model).setup
    assert [type(scorer).__name__ for scorer in setup.scorers] == ["NgramScorer"]
    # Once more: another takes its place.
    assert main([*options, "--weight", "0"]) == 0
    verify(model, load_manifest(model))
    assert Recognizer.load(model).setup.scorers == ()


SAID = {"one": "W AH N", "two": "T UW", "twos": "T UW Z"}


@pytest.fixture
def speakers(monkeypatch):
    """No dictionary, and an espeak-ng that can say three words."""
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setattr(pronouncing, "pronounce", lambda words: [SAID.get(word, "") for word in words])


def test_a_lexicon_is_written_of_texts(speakers, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Two, one two!\nxyz twos one two\n")
    options = ["lexicon", str(tmp_path / "a.txt"), "--out", str(tmp_path / "x.gz")]
    assert main(options) == 0
    assert "3 words; 1 of the texts nobody could say: xyz" in capsys.readouterr().out
    assert str(load_lexicon(tmp_path / "x.gz")) == "one W AH N\ntwo T UW\ntwos T UW Z\n"
    assert main([*options, "--most", "2"]) == 0
    assert "2 words; none is unknown" in capsys.readouterr().out
    assert str(load_lexicon(tmp_path / "x.gz")) == "one W AH N\ntwo T UW\n"
    (tmp_path / "a.txt").write_text("abc\n" * 12)
    assert main(options) == 2
    assert "edge-las[align]" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("\n")
    assert main(options) == 2
    assert "a.txt: no word to look up" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("one\n" + " ".join(f"x{chr(97 + n)}" for n in range(12)))
    assert main(options) == 0
    assert "12 of the texts nobody could say: xa, xb, xc, xd, xe, xf, xg, xh, xi, xj and 2 more" in (
        capsys.readouterr().out
    )


def test_a_lexicon_goes_into_a_model_and_keeps_what_is_there(speakers, model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one\n")
    options = ["lexicon", str(tmp_path / "a.txt"), "--into", model]
    assert main(options) == 0
    before = load_manifest(model)
    verify(model, before)
    put_file(Path(model), LEXICON_NAME, lambda path: save_lexicon(path, Lexicon("one W AA N\nsix S IH K S")))
    (tmp_path / "a.txt").write_text("one two\n")
    assert main(options) == 0
    manifest = load_manifest(model)
    verify(model, manifest)
    assert manifest.search == before.search
    assert str(load_lexicon(f"{model}/{LEXICON_NAME}")) == "one W AA N\nsix S IH K S\ntwo T UW\n"


def test_words_of_a_lexicon_are_counted_and_go_when_it_changes(speakers, model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one two\none xyz two\none two twos\n")
    count = ["lm", "--words", str(tmp_path / "a.txt"), "--order", "3"]
    assert main([*count, "--into", model]) == 2
    assert "has no lexicon, whose words to count" in capsys.readouterr().err
    assert main(["lexicon", str(tmp_path / "a.txt"), "--into", model]) == 0
    assert main([*count, "--into", model]) == 0
    assert "6, 7, 7 n-grams of 1 to 3 words" in capsys.readouterr().out
    before = load_manifest(model)
    verify(model, before)
    table = WordTable(load_lexicon(f"{model}/{LEXICON_NAME}").words())
    made = load_ngrams(Path(model) / WORDS_NAME, table)
    assert len(made.levels) == 3 and made.vocabulary == len(table)
    # Without a head of phones they are of no use, and do no harm.
    assert Recognizer.load(model).setup.words() is None
    assert main([*count, "--model", model, "--out", str(tmp_path / "w.npz"), "--most", "7"]) == 0
    assert sum(len(level.keys) for level in load_ngrams(tmp_path / "w.npz", table).levels) <= 7
    (tmp_path / "b.txt").write_text("xyz\n")
    assert main(["lm", "--words", str(tmp_path / "b.txt"), "--model", model]) == 2
    assert "b.txt: no word of" in capsys.readouterr().err
    assert main(["lexicon", str(tmp_path / "a.txt"), "--into", model]) == 0
    assert "edge-las lm --words makes one" in capsys.readouterr().out
    assert WORDS_NAME not in load_manifest(model).files
    verify(model, load_manifest(model))
