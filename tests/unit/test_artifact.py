import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from edge_las import artifact
from edge_las.artifact import Manifest, describe_files, load_manifest, load_tokens, verify, write_manifest
from edge_las.errors import ArtifactError
from edge_las.manifest_text import parse, render
from edge_las.tokens import TokenTable

FREE_KEYS = ("search", "parity", "accuracy")  # tables whose entries nothing requires
SIZE, E, A, H, M = 33, 24, 16, 20, 12


def tensor(name: str, *shape: int | None, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": list(shape), "scale": None, "zero_point": None}


def listener_graph() -> dict[str, Any]:
    states = [tensor("state_0", 1, 8, 4), tensor("state_1", 1, 12)]
    outputs = [tensor("encoded", 1, 8, E), tensor("keys", 1, 8, A), tensor("ctc_log_probs", 1, 8, SIZE)]
    outputs.append(tensor("middle", 1, 8, M))
    following = [{**state, "name": f"next_{state['name']}"} for state in states]
    return {
        "file": "listener.onnx",
        "inputs": [tensor("features", 1, 32, 64), *states],
        "outputs": outputs + following,
    }


def speller_graph() -> dict[str, Any]:
    states = [
        tensor("hidden", None, H),
        tensor("cell", None, H),
        tensor("context", None, E),
        tensor("alignment", None, None),
    ]
    inputs = [
        tensor("token", None, dtype="int64"),
        tensor("encoded", 1, None, E),
        tensor("keys", 1, None, A),
        tensor("mask", 1, None),
    ]
    following = [{**state, "name": f"next_{state['name']}"} for state in states]
    return {
        "file": "speller.onnx",
        "inputs": inputs + states,
        "outputs": [tensor("log_probs", None, SIZE), *following],
    }


def manifest_values(files: dict[str, Any]) -> dict[str, Any]:
    return {
        "format_version": 2,
        "name": "tiny",
        "language": "en",
        "features": {
            "sample_rate": 16000,
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "n_mels": 64,
            "f_min_hz": 60,
            "f_max_hz": 7600.0,
            "log_offset": 1e-5,
        },
        "tokens": {"file": "tokens.txt", "size": SIZE, "blank_id": 0, "unk_id": 1, "sos_id": 2, "eos_id": 3},
        "listener": {
            "chunk_frames": 32,
            "subsampling": 4,
            "delay_frames": 2,
            "tail_padding_samples": 3200,
            "encoded_dim": E,
            "middle_dim": M,
            "middle_delay_frames": 1,
        },
        "speller": {"max_tokens_per_s": 12.0, "max_utterance_s": 30},
        "search": {"beam_size": 4, "ctc_weight": 0.3},
        "engines": {"onnx": {"precision": "int8", "listener": listener_graph(), "speller": speller_graph()}},
        "files": files,
        "provenance": {
            "parent_checkpoint_sha256": "a" * 64,
            "tool_versions": {"torch": "2.13.0"},
            "calibration": {"sha256": "b" * 64, "clips": 200},
            "created": "2025-01-01T00:00:00Z",
        },
        "parity": {"onnx": {"token_agreement": 0.99}},
        "accuracy": {"wer": 0.2},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole artifact whose graphs are stand-ins."""
    TokenTable.characters().save(tmp_path / "tokens.txt")
    assert len(TokenTable.characters()) == SIZE - 1
    lines = (tmp_path / "tokens.txt").read_text("utf-8") + "th\t-1.0\n"
    (tmp_path / "tokens.txt").write_text(lines, "utf-8")
    (tmp_path / "listener.onnx").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "speller.onnx").write_bytes(b"speller" * 50)
    files = describe_files(tmp_path, ["tokens.txt", "listener.onnx", "speller.onnx"])
    values = manifest_values(
        {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in files.items()}
    )
    (tmp_path / "manifest.json").write_bytes(render(values))
    return tmp_path


@pytest.fixture
def values(folder: Path) -> dict[str, Any]:
    return parse((folder / "manifest.json").read_bytes())


def refusal(values: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        Manifest.from_dict(values)
    message = str(caught.value)
    assert message.startswith("manifest.json: ") and "\n" not in message
    return message


def paths(value: Any, path: tuple = ()) -> list[tuple]:
    """List the path of every value inside the free-form JSON `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, item in items:
        found += paths(item, (*path, key))
    return found


def dotted(path: tuple) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def at(values: Any, path: tuple) -> Any:
    for key in path:
        values = values[key]
    return values


def is_free(path: tuple) -> bool:
    return len(path) > 1 and (path[0] in FREE_KEYS or "tool_versions" in path[:-1])


def test_a_whole_artifact_is_read_and_verified(folder: Path) -> None:
    manifest = load_manifest(folder)
    verify(folder, manifest)
    assert manifest.features.n_mels == 64 and manifest.features.f_min_hz == 60.0
    assert manifest.speller.max_utterance_s == 30.0
    assert manifest.search == {"beam_size": 4, "ctc_weight": 0.3}
    speller = manifest.engines["onnx"].speller
    assert speller.inputs[0].shape == (None,) and speller.tensor("next_cell") == speller.outputs[2]
    assert speller.tensor("nothing") is None
    assert len(load_tokens(folder, manifest)) == SIZE


def test_an_artifact_without_a_middle_is_read(values: dict[str, Any]) -> None:
    del values["listener"]["middle_dim"], values["listener"]["middle_delay_frames"]
    graph = values["engines"]["onnx"]["listener"]
    assert "listener.middle_dim is 0, engines.onnx: listener.onnx: middle has 12" in refusal(values)
    graph["outputs"] = [tensor for tensor in graph["outputs"] if tensor["name"] != "middle"]
    entry = Manifest.from_dict(values).listener
    assert (entry.middle_dim, entry.middle_delay_frames) == (0, 0)
    values["listener"].update(middle_dim=8, middle_delay_frames=1)
    assert "listener.middle_dim is 8, engines.onnx: listener.onnx: middle has 0" in refusal(values)
    values["listener"].update(middle_delay_frames=3)
    assert "listener.middle_delay_frames is 3, above delay_frames (2)" in refusal(values)


def test_writing_and_reading_keep_everything(folder: Path, values: dict[str, Any]) -> None:
    manifest = load_manifest(folder)
    write_manifest(folder, manifest)
    assert load_manifest(folder) == manifest
    assert parse((folder / "manifest.json").read_bytes()) == values
    assert not list(folder.glob(".*"))


def test_what_could_not_be_read_back_is_not_written(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    manifest = load_manifest(folder)
    for broken in (
        Manifest(**{**vars(manifest), "accuracy": {"wer": float("nan")}}),
        Manifest(**{**vars(manifest), "engines": {}}),
        Manifest(**{**vars(manifest), "parity": {"x": object()}}),
    ):
        with pytest.raises(ArtifactError):
            write_manifest(folder, broken)
    assert (folder / "manifest.json").read_bytes() == before


def test_every_deleted_field_is_named(values: dict[str, Any]) -> None:
    checked = 0
    for path in paths(values):
        if is_free(path) or isinstance(path[-1], int) or path[:1] == ("files",) and len(path) == 2:
            continue
        damaged = copy.deepcopy(values)
        del at(damaged, path[:-1])[path[-1]]
        if path == ("engines", "onnx"):
            assert refusal(damaged) == "manifest.json: engines is empty"
        else:
            assert refusal(damaged) == f"manifest.json: {dotted(path)} is missing"
        checked += 1
    assert checked > 150


def test_every_deleted_list_item_and_file_is_noticed(values: dict[str, Any]) -> None:
    for path in paths(values):
        is_file = path[0] == "files" and len(path) == 2
        if is_free(path) or not (is_file or path[-2:-1] in (("inputs",), ("outputs",))):
            continue
        damaged = copy.deepcopy(values)
        removed = at(damaged, path[:-1]).pop(path[-1])
        if is_file or not removed["name"].startswith("state_"):
            refusal(damaged)


def test_every_mistyped_field_is_named(values: dict[str, Any]) -> None:
    for path in paths(values):
        original = at(values, path)
        if is_free(path) or original is None and path[-1] in ("scale", "zero_point"):
            continue
        wrongs: list[Any] = ["text", 1.5, True, None, [], {}, -7]
        for wrong in wrongs:
            fits = isinstance(wrong, str) and isinstance(original, str)
            number = isinstance(wrong, float) and type(original) in (int, float)
            table = wrong == {} and isinstance(original, dict) and path[0] in (*FREE_KEYS, "provenance")
            dynamic = wrong is None and "shape" in path
            if fits or number or table or dynamic:
                continue
            damaged = copy.deepcopy(values)
            at(damaged, path[:-1])[path[-1]] = wrong
            message = refusal(damaged)
            if not isinstance(wrong, (list, dict)):
                assert str(path[-1] if isinstance(path[-1], str) else path[-2]) in message, message


def test_every_unknown_field_is_named(values: dict[str, Any]) -> None:
    for path in [(), *paths(values)]:
        target = at(values, path)
        free = path and (path[0] in FREE_KEYS or path[-1] == "tool_versions")
        if not isinstance(target, dict) or free:
            continue
        damaged = copy.deepcopy(values)
        at(damaged, path)["surprise"] = 1
        assert "surprise is" in refusal(damaged)


@pytest.mark.parametrize("version, words", [(3, "newer edge-las"), (99, "newer edge-las"), (0, "unknown")])
def test_other_format_versions_are_refused(values: dict[str, Any], version: int, words: str) -> None:
    for others in ({}, {"new": 1}):  # whatever else a newer one holds
        message = refusal({**values, "format_version": version, **others})
        assert f"format_version is {version}, this edge-las reads 1 and 2" in message and words in message


def test_version_1_had_no_seal_and_is_still_read(folder: Path, values: dict[str, Any]) -> None:
    old = {**values, "format_version": 1}
    (folder / "manifest.json").write_text(json.dumps(old, indent=2), "utf-8")
    manifest = load_manifest(folder)
    verify(folder, manifest)
    write_manifest(folder, manifest)
    assert json.loads((folder / "manifest.json").read_text("utf-8")) == old
    # It can't be passed off for a sealed one, nor the other way round.
    (folder / "manifest.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(ArtifactError, match="manifest_sha256 is missing"):
        load_manifest(folder)
    sealed = render(values).replace(b'"format_version": 2', b'"format_version": 1')
    (folder / "manifest.json").write_bytes(sealed)
    with pytest.raises(ArtifactError, match="manifest_sha256"):
        load_manifest(folder)


@pytest.mark.parametrize(
    "path, value, message",
    [
        (("features", "n_mels"), 80, "features.n_mels is 80, engines.onnx: listener.onnx: features has 64"),
        (
            ("listener", "encoded_dim"),
            25,
            "listener.encoded_dim is 25, engines.onnx: listener.onnx: encoded has 24",
        ),
        (("tokens", "size"), 40, "tokens.size is 40, engines.onnx: listener.onnx: ctc_log_probs has 33"),
        (("tokens", "eos_id"), 2, "tokens.eos_id is 2, must be 3"),
        (
            ("listener", "chunk_frames"),
            30,
            "listener.chunk_frames is 30, must be a multiple of subsampling (4)",
        ),
        (("speller", "max_utterance_s"), 0, "speller.max_utterance_s is 0.0, must be above 0"),
        (("features", "hop_length"), 0, "features.hop_length is 0, must be 1 to 65536"),
        (("provenance", "calibration", "sha256"), "B" * 64, "provenance.calibration.sha256 is"),
        (("engines", "onnx", "listener", "inputs", 1, "shape"), [1, None], "state_0 has a dynamic size"),
        (
            ("engines", "onnx", "listener", "inputs", 1, "shape"),
            [1, 3],
            "no output next_state_0 of its shape",
        ),
        (
            ("engines", "onnx", "speller", "inputs", 0, "name"),
            "tok",
            "speller.inputs: no tensor is named token",
        ),
        (
            ("engines", "onnx", "speller", "inputs", 0, "name"),
            "mask",
            "speller.inputs is empty or names a tensor twice",
        ),
        (
            ("engines", "onnx", "speller", "inputs", 0, "dtype"),
            "f4",
            "inputs[0].dtype is 'f4', must be one of",
        ),
        (("engines", "onnx", "speller", "inputs", 0, "scale"), 0.5, "scale and zero_point must both be"),
        (("engines", "onnx", "listener", "file"), "other.onnx", "'other.onnx', which files does not list"),
    ],
)
def test_contradictions_are_named(values: dict[str, Any], path: tuple, value: Any, message: str) -> None:
    at(values, path[:-1])[path[-1]] = value
    assert message in refusal(values)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "manifest.json", "a\n", "é"]
)
def test_file_names_cannot_leave_the_folder(values: dict[str, Any], name: str) -> None:
    for path in (("tokens", "file"), ("engines", "onnx", "speller", "file")):
        damaged = copy.deepcopy(values)
        at(damaged, path[:-1])["file"] = name
        assert f"{dotted(path)} is {name!r}, must be a plain file name" in refusal(damaged)
    values["files"][name] = {"size": 0, "sha256": "0" * 64}
    assert "must be a plain file name" in refusal(values)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}',
        b'{"format_version": ' + b"9" * 5000 + b"}", b'{"format_version": 1e999}',
    ],
)  # fmt: skip
def test_files_that_are_no_manifest_are_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="manifest.json"):
        load_manifest(folder)


def test_missing_folders_and_manifests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such model folder"):
        load_manifest(tmp_path / "none")
    with pytest.raises(ArtifactError, match=r"manifest\.json: no such file"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ArtifactError, match="is a directory"):
        load_manifest(tmp_path)


def test_a_huge_manifest_is_refused(folder: Path) -> None:
    with open(folder / "manifest.json", "r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(ArtifactError, match="too large"):
        load_manifest(folder)


def test_damaged_files_are_named(folder: Path) -> None:
    manifest = load_manifest(folder)
    for name in manifest.files:
        path = folder / name
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for content, message in (
            (bytes(flipped), f"{name}: is damaged"),
            (whole[:-1], f"{name}: has {len(whole) - 1} bytes"),
            (None, f"{name}: is missing"),
        ):
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(ArtifactError) as caught:
                verify(folder, manifest)
            assert str(caught.value).startswith(f"{folder}/{message}")
        path.write_bytes(whole)
    verify(folder, manifest)


def test_a_token_table_of_another_size_is_refused(folder: Path, values: dict[str, Any]) -> None:
    TokenTable.characters().save(folder / "tokens.txt")
    entry = describe_files(folder, ["tokens.txt"])["tokens.txt"]
    values["files"]["tokens.txt"] = {"size": entry.size, "sha256": entry.sha256}
    with pytest.raises(ArtifactError, match=r"tokens.txt: has 32 tokens, manifest.json: tokens.size is 33"):
        verify(folder, Manifest.from_dict(values))


def test_thousands_of_damaged_manifests_give_artifact_errors_only(folder: Path) -> None:
    whole = (folder / "manifest.json").read_bytes()
    dice = random.Random(0)
    for _ in range(2000):
        damaged = bytearray(whole)
        kind = dice.randrange(4)
        for _ in range(dice.choice((1, 1, 4))):
            place = dice.randrange(len(damaged))
            if kind == 0:
                damaged[place] ^= 1 << dice.randrange(8)
            elif kind == 1:
                damaged[place] = dice.choice(b'{}[]",:0-9eE.\\ntf')
            elif kind == 2:
                del damaged[place : place + dice.randrange(1, 40)]
            else:
                del damaged[place:]
                break
        if damaged == whole:
            continue
        (folder / "manifest.json").write_bytes(damaged)
        with pytest.raises(ArtifactError) as caught:
            load_manifest(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seal", [None, "", 5, [], {}, True, "0" * 64, "\ud800" * 64, "A" * 64])
def test_seals_that_are_none_are_refused(values: dict[str, Any], seal: Any) -> None:
    with pytest.raises(ArtifactError, match="manifest_sha256"):
        parse(json.dumps({**values, "manifest_sha256": seal}).encode())


def test_every_flipped_bit_of_a_manifest_is_noticed(folder: Path) -> None:
    """Of what is free in its values too: a name, a measured accuracy, white space."""
    whole = (folder / "manifest.json").read_bytes()
    for place in range(0, len(whole)):
        for bit in (place % 8, (place + 5) % 8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(ArtifactError):
                Manifest.from_dict(parse(bytes(damaged)))


def test_random_values_in_random_places_give_artifact_errors_only(values: dict[str, Any]) -> None:
    dice = random.Random(1)
    places = paths(values)
    odd: list[Any] = [
        None,
        True,
        0,
        -1,
        1.5,
        10**400,
        1e308,
        "",
        "x" * 10_000,
        "\0",
        "\ud800",
        [],
        {},
        [[]],
        {"": {}},
        [None],
    ]
    for _ in range(3000):
        damaged = copy.deepcopy(values)
        path = dice.choice(places)
        at(damaged, path[:-1])[path[-1]] = copy.deepcopy(dice.choice(odd))
        try:
            Manifest.from_dict(damaged)
        except ArtifactError as error:
            assert len(str(error)) < 500 and "\n" not in str(error)


def test_hashing_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none: no such file"):
        artifact.sha256_file(tmp_path / "none")
    (tmp_path / "empty").write_bytes(b"")
    assert artifact.sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")
