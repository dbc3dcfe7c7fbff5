import numpy as np
import pytest

from edge_las.errors import DeviceError
from edge_las.runtime import doctor, inputs
from edge_las.runtime.doctor import Recording, check_machine, check_recording
from edge_las.runtime.microphone import MicrophoneConfig

RNG = np.random.default_rng(0)


def judged(samples, measured_hz=48000.0, cancelled=False):
    recording = Recording(np.asarray(samples, dtype=np.float32), 48000, measured_hz, cancelled)
    return {check.name: check for check in check_recording(recording)}


def test_a_good_recording():
    checks = judged(0.05 * RNG.standard_normal(48000))
    assert {check.status for check in checks.values()} == {"ok"}
    assert checks["microphone"].found == "level -26 dBFS"
    assert checks["rate"].found == "48000 Hz stated, 48000 measured"


def test_what_is_wrong_is_told_with_what_to_do():
    noise = RNG.standard_normal(48000)
    zeros = judged(np.zeros(48000))
    assert list(zeros) == ["microphone"] and zeros["microphone"].status == "error"
    found = {
        "microphone": judged(0.001 * noise),
        "zeros": judged(np.where(np.arange(48000) % 3, 0.1 * noise, 0.0)),
        "clipping": judged(np.clip(0.6 * noise, -1.0, 1.0)),
        "channels": judged(0.1 * noise, cancelled=True),
        "rate": judged(0.1 * noise, 44100.0),
    }
    for name, checks in found.items():
        assert checks[name].status == ("error" if name == "rate" else "warning")
        assert checks[name].advice
        assert all(check.status == "ok" for other, check in checks.items() if other != name)


def test_governor_and_temperature(tmp_path):
    assert [check.found for check in check_machine(tmp_path)] == ["not shown by this system"] * 2
    for cpu, governor in enumerate(["schedutil", "powersave"]):
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
    for zone, text in enumerate(["41000\n", "81500\n", "broken"]):
        folder = tmp_path / f"class/thermal/thermal_zone{zone}"
        folder.mkdir(parents=True)
        (folder / "temp").write_text(text)
    governor, temperature = check_machine(tmp_path)
    assert (governor.status, governor.found) == ("warning", "powersave, schedutil")
    assert (temperature.status, temperature.found) == ("warning", "82 degrees C")
    assert governor.advice and temperature.advice


@pytest.mark.parametrize(
    ("shown", "status", "found", "advice"),
    [
        ("0\n", "ok", "none", ""),
        (
            "0x50005\n",
            "warning",
            "under-voltage, throttled, under-voltage since boot, throttled since boot",
            "power",
        ),
        ("80008\n", "warning", "soft temperature limit, soft temperature limit since boot", "heat sink"),
    ],
)
@pytest.mark.parametrize("place", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_a_raspberry_pi_tells_of_throttling(tmp_path, place, shown, status, found, advice):
    folder = tmp_path / "devices/platform" / place
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text(shown)
    *_, check = check_machine(tmp_path)
    assert (check.name, check.status, check.found) == ("throttling", status, found)
    assert advice in check.advice


def test_missing_parts_are_errors_with_advice(tmp_path, monkeypatch):
    def missing():
        raise DeviceError("a microphone needs sounddevice: pip install 'edge-las[mic]'")

    monkeypatch.setattr(inputs, "sounddevice", missing)
    checks = list(doctor.checks(MicrophoneConfig(), str(tmp_path), "auto", tmp_path))
    errors = {check.name: check for check in checks if check.status == "error"}
    assert "manifest.json" in errors["model"].found
    assert errors["microphone"].advice == "pip install 'edge-las[mic]'"


@pytest.mark.parametrize("name", ["listen", "devices", "doctor"])
def test_commands_have_help(name, capsys):
    from edge_las.cli import main

    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: edge-las {name}" in capsys.readouterr().out
