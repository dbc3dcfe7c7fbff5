"""An artifact with a domain's grammar in it, made from another artifact in seconds."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_las.artifact import (
    MANIFEST_NAME,
    describe_files,
    load_manifest,
    load_tokens,
    verify,
    write_manifest,
)
from edge_las.domain.compile import compile_domain
from edge_las.domain.sentences import read_domain
from edge_las.errors import ArtifactError
from edge_las.grammar import GRAMMAR_NAME, save_grammar
from edge_las.tokens import SPECIALS, WORD_MARK

DOMAIN_NAME = "domain.yaml"


def build_domain(source: Path, base: Path, out: Path, tell: Callable[[str], None] = print) -> None:
    """Copy an artifact and put the grammar of a file of sentence templates in; nothing is trained.

    Raises: ConfigError naming file and line; ArtifactError if `base` is damaged or `out` is no artifact.
    """
    manifest = load_manifest(base)
    verify(base, manifest)
    domain = read_domain(source)
    if domain.language != manifest.language:
        raise domain.place.error(0, f"language is {domain.language}, the model's is {manifest.language}")
    pieces = load_tokens(base, manifest).pieces[len(SPECIALS) :]
    grammar, sentences = compile_domain(domain, frozenset("".join(pieces)) - {WORD_MARK})
    intents = len({block.intent for block in domain.blocks})
    tell(f"{source}: {intents} intents, {sentences:.4g} sentences, {len(grammar.nodes)} nodes")
    if out.resolve() == base.resolve():
        raise ArtifactError(f"{out}: is the model that the domain is built from")
    if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out}: exists and is no artifact; it is not replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    part.mkdir()
    try:
        names = set(manifest.files) | {GRAMMAR_NAME, DOMAIN_NAME}
        for name in set(manifest.files) - {GRAMMAR_NAME, DOMAIN_NAME}:
            shutil.copy2(base / name, part / name)
        save_grammar(part / GRAMMAR_NAME, grammar)
        shutil.copyfile(source, part / DOMAIN_NAME)
        write_manifest(part, replace(manifest, files=describe_files(part, names)))
        if out.exists():
            out.rename(old)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    size = (out / GRAMMAR_NAME).stat().st_size
    tell(f"{out}: {base.name} with this grammar ({size / 1000:.1f} kB); the model itself was not trained")
