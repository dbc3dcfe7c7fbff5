from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from edge_las.audio import float_to_pcm
from edge_las.domain.noises import crockery, recorded_noise, write_noises
from edge_las.domain.noises import main as noises_command
from edge_las.domain.teach import blend, domain_recipe
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import load_checkpoint, save_checkpoint
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset
from edge_las.train.frontend import LogMel
from edge_las.train.model import LasModel
from edge_las.train.run import load_noises
from tests.tiny_artifact import CONFIG, make_checkpoint, recordings, tiny_model


def test_without_a_compiler_training_is_slower_and_says_so(tmp_path, monkeypatch) -> None:
    base, said = make_checkpoint(tmp_path / "base"), []
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not domain_recipe(base, ["optim.compiled=true"], 1, said.append).optim.compiled
    assert len(said) == 1 and said[0].startswith("training takes longer: ")
    assert not domain_recipe(base, ["optim.compiled=false"], 1, said.append).optim.compiled
    assert len(said) == 1


def test_a_blend_lies_between_two_checkpoints(tmp_path) -> None:
    base, tuned = make_checkpoint(tmp_path / "base", 0), make_checkpoint(tmp_path / "tuned", 1)
    folder = blend(base, tuned, tmp_path / "blend", 0.75, [])
    states = [load_checkpoint(place)[0].state_dict() for place in (base, tuned, folder)]
    for name, found in states[2].items():
        old, new = (state[name].float() for state in states[:2])
        expected = 0.25 * old + 0.75 * new if found.is_floating_point() else new
        assert np.allclose(found.float(), expected, atol=1e-5), name
    assert (folder / "tokens.txt").read_text() == (base / "tokens.txt").read_text()


def test_a_head_of_phones_is_refitted_to_a_listener_that_moved(tmp_path) -> None:
    samples = [recording.samples() for recording in recordings(8)]
    np.concatenate([float_to_pcm(wave) for wave in samples]).tofile(tmp_path / AUDIO_FILE)
    begins = np.cumsum([0, *map(len, samples)])
    rows = [(f"c{n}", begins[n], len(wave), "c", "v", "train", "one") for n, wave in enumerate(samples)]
    write_index(tmp_path, rows)
    corpus, tokens, folders = Corpus([tmp_path]), TokenTable.characters(), []
    for name, shift in (("base", 0.0), ("tuned", 0.05)):
        model = LasModel(replace(CONFIG, frame_phones=True), len(tokens))
        model.load_state_dict(tiny_model()[0].state_dict(), strict=False)
        torch.manual_seed(3)
        torch.nn.init.normal_(model.frame_phone_head.out.weight)
        for block in model.listener.blocks:
            block.widen.weight.data += shift * torch.randn_like(block.widen.weight)
        folders.append(tmp_path / name)
        save_checkpoint(folders[-1], model, tokens, model.state_dict())
    front, batch = LogMel(CONFIG.features), BatchDataset(corpus, [[(0,), (1,)]], tokens, 0.0, (0, 0))[0]

    def logits(folder) -> torch.Tensor:
        model = load_checkpoint(folder)[0].eval()
        with torch.no_grad():
            return model.frame_phone_head(*model.hear(*front(batch.waveforms(), batch.lengths)))

    tuned = load_checkpoint(folders[1])[0]
    tuned.frame_phone_head.prior.fill_(1.0)
    save_checkpoint(folders[1], tuned, tokens, tuned.state_dict())
    wanted, moved = (logits(folder) for folder in folders)
    refitted = logits(blend(*folders, tmp_path / "blend", 1.0, [tmp_path]))
    away, left = ((found - wanted).square().mean() for found in (moved, refitted))
    assert away > 0.1 and left < 0.5 * away
    assert torch.equal(refitted, logits(blend(*folders, tmp_path / "again", 1.0, [tmp_path])))
    blended = load_checkpoint(tmp_path / "blend")[0].frame_phone_head
    assert torch.equal(blended.prior, load_checkpoint(folders[0])[0].frame_phone_head.prior)


def test_the_recorded_noise_is_what_was_asked_for_or_lies_with_the_speech(tmp_path) -> None:
    (tmp_path / "b" / "noise").mkdir(parents=True)
    speech = (tmp_path / "a", tmp_path / "b")
    assert recorded_noise(None, speech) == tmp_path / "b" / "noise"
    assert recorded_noise(tmp_path / "mine", speech) == tmp_path / "mine"
    assert recorded_noise(None, speech[:1]) is None


def test_crowds_and_kitchens_are_made_once_and_alike(tmp_path) -> None:
    (tmp_path / "speech").mkdir()
    rng = np.random.default_rng(0)
    rng.integers(-9000, 9000, 8 * 8000).astype("<i2").tofile(tmp_path / "speech" / AUDIO_FILE)
    write_index(
        tmp_path / "speech", [(f"c-{n}", 8000 * n, 8000, "c", f"v{n}", "train", "a") for n in range(8)]
    )
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded" / "tap.wav").write_bytes(b"RIFF")
    folders = [
        write_noises(tmp_path / name, tmp_path / "speech", tmp_path / "recorded", 1) for name in ("n1", "n2")
    ]
    written = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert written[0] == written[1] and "tap.wav" in written[0] and len(written[0]) == 7
    (folders[0] / "tap.wav").unlink()
    assert write_noises(folders[0], tmp_path / "speech", tmp_path / "recorded", 1) == folders[0]
    assert not (folders[0] / "tap.wav").exists()
    noises = load_noises(folders[0], domain_recipe(make_checkpoint(tmp_path / "base"), [], 1, print).augment)
    assert [len(noise) for noise in noises] == [60 * 16000] * 6
    for noise in noises:
        assert float(noise.std()) == pytest.approx(0.1, rel=0.1)


def test_noises_are_made_by_a_command_for_training(tmp_path, capsys) -> None:
    speech, out = tmp_path / "speech", tmp_path / "noises"
    speech.mkdir()
    np.full(8000, 900, dtype="<i2").tofile(speech / AUDIO_FILE)
    write_index(speech, [("c", 0, 8000, "c", "v", "train", "a")])
    assert noises_command([str(speech), "--out", str(out)]) == 0
    assert len(list(out.glob("made_*.wav"))) == 6
    for arguments, message in (
        ([str(speech), "--out", str(out)], f"{out}: exists, it is not replaced"),
        ([str(tmp_path), "--out", str(tmp_path / "n")], f"{tmp_path}: no flat corpus is there"),
        ([str(speech), "--out", str(tmp_path / "n"), "--recorded", "none"], "none: no such folder"),
    ):
        assert noises_command(arguments) == 2 and message in capsys.readouterr().err
    write_index(speech, [("c", 0, 8000, "c", "v", "dev", "a")])
    assert noises_command([str(speech), "--out", str(tmp_path / "n")]) == 2
    assert "no clip of it is for training" in capsys.readouterr().err and not (tmp_path / "n").exists()


def test_crockery_strikes_and_is_still_between() -> None:
    sound = crockery(16000 * 20, np.random.default_rng(2)).reshape(-1, 800)
    level = np.sqrt(np.mean(sound**2, axis=1))
    assert np.quantile(level, 0.95) > 10 * np.quantile(level, 0.05)
