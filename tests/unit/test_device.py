import argparse
import configparser
import csv
import ctypes
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edge_las.cli import COMMANDS, main
from edge_las.config import load_config
from edge_las.errors import ConfigError, DeviceError
from edge_las.runtime import options
from edge_las.runtime.device import DeviceProfile, detect, load_profile, pin, profile_names
from edge_las.runtime.profile import systemd_drop_in
from edge_las.runtime.recognizer import Recognizer

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "firmware_configs"
BOARDS = ROOT / "tests" / "data" / "boards"
UNITS = sorted(CONFIGS.glob("*.service"))
with open(BOARDS / "models.tsv", encoding="utf-8", newline="") as table:
    MODELS = [
        (row["profile"], int(row["bits"]), row["model"]) for row in csv.DictReader(table, delimiter="\t")
    ]


def board(root, model=None, cpuinfo=None):
    """A file system that tells of a board as its kernel does."""
    (root / "proc" / "device-tree").mkdir(parents=True)
    if model:
        (root / "proc" / "device-tree" / "model").write_bytes(model.encode() + b"\0")
    if cpuinfo:
        shutil.copy(BOARDS / cpuinfo, root / "proc" / "cpuinfo")
    return root


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_bears_its_files_name(name):
    profile = load_profile(name)
    assert profile.name == name and profile.title
    assert profile.match.bits == (32 if name.endswith("_32") else 64)
    # What PyPI and Debian have for 32-bit systems: docs/devices.md.
    old = profile.name == "jetson_nano"
    expected = (
        ("auto", "energy") if profile.match.bits == 32 else ("onnx", "webrtc" if old else "webrtc+silero")
    )
    assert (profile.engine.name, profile.vad.detector) == expected
    assert profile == load_profile(str(CONFIGS / f"{name}.toml"))


def test_the_boards_of_the_documentation_are_all_there():
    boards = {"raspberry_pi_zero_2_w", "raspberry_pi_3b_plus", "raspberry_pi_4", "raspberry_pi_5"}
    boards |= {"raspberry_pi_zero_2_w_32", "raspberry_pi_3b_plus_32", "generic_x86_64"}
    boards |= {"jetson_nano", "jetson_xavier_nx", "jetson_orin_nano"}
    assert boards == {name for name in profile_names() if not name.endswith("_gpu")}


@pytest.mark.parametrize(("profile", "bits", "model"), MODELS)
def test_boards_are_recognized_by_their_device_tree(tmp_path, profile, bits, model):
    assert detect(board(tmp_path, model), bits) == profile


def test_boards_are_recognized_by_cpuinfo(tmp_path):
    assert detect(board(tmp_path / "pi", cpuinfo="cpuinfo_raspberry_pi_4"), 64) == "raspberry_pi_4"
    assert detect(board(tmp_path / "pc", cpuinfo="cpuinfo_x86_64"), 64) == "generic_x86_64"


def test_the_second_place_of_the_model_is_read_too(tmp_path):
    (tmp_path / "sys/firmware/devicetree/base").mkdir(parents=True)
    (tmp_path / "sys/firmware/devicetree/base/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert detect(tmp_path, 64) == "raspberry_pi_5"


@pytest.mark.parametrize(
    ("model", "cpuinfo", "bits", "named"),
    [
        ("Raspberry Pi 2 Model B Rev 1.1", None, 32, "Raspberry Pi 2 Model B Rev 1.1"),
        ("Raspberry Pi 5 Model B Rev 1.0", None, 32, "32-bit"),
        # An unknown ARM board is no PC, whatever else it says.
        ("Some Board", "cpuinfo_x86_64", 64, "Some Board"),
        (None, None, 64, "unknown model"),
    ],
)
def test_unknown_boards_are_named(tmp_path, model, cpuinfo, bits, named):
    with pytest.raises(DeviceError, match=named):
        detect(board(tmp_path, model, cpuinfo), bits)


@pytest.mark.parametrize("name", profile_names())
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("threads =", "thread =", "engine.thread "),
        ("threads = 1", "threads = 0", "engine.threads"),
        ("beam_size = ", 'beam_size = "4" #', "search.beam_size"),
        ("memory_mb = ", "memory_mb = 1 #", "limits.memory_mb"),
        ("detector = ", 'detector = "human" #', "vad.detector"),
        ("trailing_silence_s = 0.4", "trailing_silence_s = 0.0", "endpoint.trailing_silence_s"),
        ("bits = ", "bits = 16 #", "match.bits"),
        ("advice = ", 'advice = "fast" #', "governor.advice"),
        ("rate_hz = 16000\n", "", "audio.rate_hz"),
        ("[limits]", "[limit]", "limit "),
    ],
)
def test_wrong_keys_and_values_name_file_and_key(tmp_path, name, old, new, key):
    text = (CONFIGS / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^mine\.toml: {re.escape(key)}"):
        load_config(tmp_path / "mine.toml", DeviceProfile)


@pytest.mark.parametrize("name", profile_names())
def test_every_key_of_every_profile_is_checked(tmp_path, name):
    """An unknown name in place of each key, and a table in place of each value: no key takes one."""
    lines = (CONFIGS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    section, checked = "", 0
    for number, line in enumerate(lines):
        if line.startswith("["):
            section = line.strip("[]") + "."
        key, found, _ = line.partition(" = ")
        if not found or line.startswith("#"):
            continue
        for wrong, named in ((f"{key} = {{ no = 1 }}", key), (f"{key}_x = 1", f"{key}_x")):
            text = "\n".join([*lines[:number], wrong, *lines[number + 1 :]])
            (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
            with pytest.raises(ConfigError, match=rf"^mine\.toml: {re.escape(section + named)}\b"):
                load_config(tmp_path / "mine.toml", DeviceProfile)
            checked += 1
    assert checked > 30


def test_providers_belong_to_onnx_and_empty_models_match_nothing(tmp_path):
    profile = load_profile("raspberry_pi_4")
    with pytest.raises(ConfigError, match="providers"):
        replace(profile.engine, name="tflite")
    with pytest.raises(ConfigError, match="models"):
        replace(profile.match, models=("",))


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(DeviceError, match="'pi' is unknown.*auto.*raspberry_pi_4"):
        load_profile("pi")


def test_affinity_is_kept_or_refused():
    usable = os.sched_getaffinity(0)
    try:
        pin(())
        assert os.sched_getaffinity(0) == usable
        pin([min(usable)])
        assert os.sched_getaffinity(0) == {min(usable)}
        with pytest.raises(DeviceError, match="CPU 4000"):
            pin([4000])
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ([], (None, "auto", 1, None)),
        (["--device", "PROFILE"], (None, "onnx", 3, 2, ("CPUExecutionProvider",))),
        (["--profile", "PROFILE"], (None, "onnx", 3, 2, ("CPUExecutionProvider",))),
        (["--device", "PROFILE", "--beam", "7"], (None, "onnx", 3, 7, ("CPUExecutionProvider",))),
        (["--device", "PROFILE", "--threads", "2"], (None, "onnx", 2, 2, ("CPUExecutionProvider",))),
        (["--device", "PROFILE", "--engine", "tflite"], (None, "tflite", 3, 2, ())),
    ],
)  # fmt: skip
def test_options_win_over_the_profile(monkeypatch, tmp_path, given, loaded):
    text = (CONFIGS / "raspberry_pi_3b_plus.toml").read_text(encoding="utf-8")
    profile = tmp_path / "mine.toml"
    profile.write_text(text.replace("threads = 1", "threads = 3"), encoding="utf-8")
    monkeypatch.setattr(Recognizer, "load", lambda *asked, require_signature=None: asked[:5])
    parser = argparse.ArgumentParser()
    options.add_recognizer_arguments(parser)
    args = parser.parse_args([str(profile) if word == "PROFILE" else word for word in given])
    assert options.load_recognizer(args, options.chosen_profile(args)) == loaded


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    tiny_onnx = pytest.importorskip("tests.runtime.tiny_onnx")
    return str(tiny_onnx.write_artifact(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_runs_or_says_what_is_missing(tiny_model, capsys, name):
    """Those of GPUs lack an onnxruntime that has them."""
    clip = str(ROOT / "tests/data/clips/speech_commands-13060.wav")
    status = main(["transcribe", clip, "--model", tiny_model, "--profile", name])
    error = capsys.readouterr().err
    if name.endswith("_gpu"):
        assert status == 2 and load_profile(name).engine.providers[0] in error
    else:
        assert (status, error) == (0, "")


def test_the_command_tells_the_profile(capsys):
    assert main(["profile", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == profile_names()
    assert main(["profile", "raspberry_pi_zero_2_w"]) == 0
    assert "192 MB" in capsys.readouterr().out
    assert main(["profile", "nonesuch"]) == 2


def unit(text):
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_hardened_and_start_what_exists(path):
    service = unit(path.read_text(encoding="utf-8"))["Service"]
    for key, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "Restart": "on-failure"}.items():
        assert service[key] == value
    assert service["MemoryMax"] and service["CapabilityBoundingSet"] == ""
    program, command, *_ = service["ExecStart"].split()
    assert program.endswith("/edge-las") and command in COMMANDS
    if command == "serve":
        assert service["Type"] == "notify" and int(service["WatchdogSec"]) >= 10


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_accepts_the_units(path, tmp_path):
    text = path.read_text(encoding="utf-8").replace("/opt/edge-las/bin/edge-las", "/bin/true")
    (tmp_path / path.name).write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", str(tmp_path / path.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert path.name not in done.stderr, done.stderr


@pytest.mark.parametrize("name", profile_names())
def test_drop_ins_carry_the_limits(name):
    profile = load_profile(name)
    pinned = replace(profile, engine=replace(profile.engine, affinity=(2, 3)))
    service = unit("\n".join(systemd_drop_in(pinned)))["Service"]
    assert service["MemoryMax"] == f"{profile.limits.memory_mb}M"
    assert service["Environment"] == f"EDGE_LAS_DEVICE={name}" and service["CPUAffinity"] == "2 3"


@pytest.mark.parametrize("name", ["asoundrc.usb", "asoundrc.i2s"])
def test_alsa_can_read_its_configuration(name):
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError:
        pytest.skip("needs libasound2")
    top, source = ctypes.c_void_p(), ctypes.c_void_p()
    assert alsa.snd_config_top(ctypes.byref(top)) == 0
    assert alsa.snd_input_stdio_open(ctypes.byref(source), str(CONFIGS / name).encode(), b"r") == 0
    assert alsa.snd_config_load(top, source) == 0
    found = ctypes.c_void_p()
    for key in (b"pcm.edge_las_mic.type", b"pcm.default.capture.pcm"):
        assert alsa.snd_config_search(top, key, ctypes.byref(found)) == 0
