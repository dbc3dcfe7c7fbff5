import ast
from pathlib import Path

import pytest

# What each room may import besides itself; core is the modules directly in edge_las.
ALLOWED = {
    "core": set(),
    "search": {"core"},
    "runtime": {"core", "search"},
    "train": {"core", "search"},
    # The automaton tells what is a command, and the n-gram model is made of sentences.
    "domain": {"core", "search", "train"},
    "export": {"core", "train"},
    "benchmarks": {"core", "runtime"},
}
# Proving needs the very runtime that a device runs, and what it is told goes into the manifest.
PROOF = ("parity", "gate", "decoding", "efficiency", "sensitivity", "torch_engine", "package")
PEERS = ("cells", "clips", "grammars", "score", "texts")
EXCEPTIONS = {f"export/{name}.py": {"runtime", "search"} for name in PROOF}
# Trying search settings means calling the search.
EXCEPTIONS |= {
    f"benchmarks/{name}.py": {"search"} for name in ("hotwords", "tune", "tune_words", "listening")
}
# Commands are labelled and counted as `edge-las domain test` does; snapping to a grammar walks its automaton.
EXCEPTIONS |= {f"benchmarks/peers/{name}.py": {"domain", "search"} for name in PEERS}
# Runs are read as training wrote them, and the words of a domain as its build draws them.
EXCEPTIONS |= {"benchmarks/runs.py": {"train"}, "benchmarks/unheard.py": {"domain"}}
# A domain is proven on the very runtime that will understand it.
EXCEPTIONS |= {f"edge_las/domain/{name}.py": {"runtime"} for name in ("command", "proof", "measure")}
# Commands name what they call as text, and load it when called.
COMMANDS = {"edge_las/cli.py", "edge_las/cli_support.py", "edge_las/__main__.py"}

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("edge_las", "export", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "edge_las":
        return parts[0]
    return parts[1] if len(parts) > 1 and (ROOT / "edge_las" / parts[1]).is_dir() else "core"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", [file for file in FILES if file not in COMMANDS])
def test_imports_point_one_way(file: str) -> None:
    own = room(file.removesuffix(".py").replace("/", "."))
    allowed = ALLOWED[own] | {own} | EXCEPTIONS.get(file, set())
    ours = {
        name for name in imports(ROOT / file) if name.split(".")[0] in ("edge_las", "export", "benchmarks")
    }
    assert {name for name in ours if room(name) not in allowed} == set()


def test_the_device_side_names_no_training_package() -> None:
    device = [
        file
        for file in FILES
        if room(file.removesuffix(".py").replace("/", ".")) in ("core", "search", "runtime")
    ]
    heavy = {"torch", "scipy", "lhotse", "safetensors", "sentencepiece", "litert_torch", "tqdm"}
    found = {file: {name.split(".")[0] for name in imports(ROOT / file)} & heavy for file in device}
    assert {file: names for file, names in found.items() if names} == {}
