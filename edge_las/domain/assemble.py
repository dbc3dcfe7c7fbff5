"""The artifact of a domain: another artifact's files, a grammar and its words, and what was measured."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_las.artifact import (
    Manifest,
    describe_files,
    load_manifest,
    load_tokens,
    verify,
    write_manifest,
)
from edge_las.domain.compiled import Compiled, read_compiled
from edge_las.domain.texts import Counts, domain_texts
from edge_las.errors import ArtifactError
from edge_las.grammar_file import save_grammar
from edge_las.grammar_words import grammar_words
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, Lexicon, load_lexicon, save_lexicon
from edge_las.manifest import GRAMMAR_NAME
from edge_las.ngram import NGRAM_NAME, NgramModel, save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.pronouncing import listed, pronounce_words
from edge_las.staging import staged
from edge_las.tokens import TokenTable
from edge_las.word_table import WORDS_NAME

DOMAIN_NAME = "domain.yaml"
_OWN_FILES = {GRAMMAR_NAME, NGRAM_NAME, DOMAIN_NAME}
_LM_ORDER = 6
_LM_COUNTS = Counts(3000, 0, 1500)
# What a language model does to a model's texts was not measured, so it has no weight.
_UNTRAINED = {"lm_weight": 0.0}


@dataclass(frozen=True)
class Findings:
    """What was measured of a domain's model: settings of the search, accuracy, letters spoken in a second."""

    search: Mapping[str, float] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    tokens_per_s: float = 0.0


def build_domain(source: Path, base: Path, out: Path, tell: Callable[[str], None] = print) -> None:
    """Copy an artifact and put the grammar of a file of sentence templates in; nothing is trained.

    Raises: ConfigError naming file and line; ArtifactError if `base` is damaged or `out` is no artifact.
    """
    manifest = load_manifest(base)
    verify(base, manifest)
    tokens = load_tokens(base, manifest)
    compiled = read_compiled(source, tokens, manifest.language)
    tell(str(compiled))
    if out.resolve() == base.resolve():
        raise ArtifactError(f"{out}: is the model that the domain is built from")
    texts = [text for text, _ in domain_texts(compiled, _LM_COUNTS, (0, 0))]
    unknown = assemble(compiled, base, out, estimate_lm(texts, tokens), Findings(_UNTRAINED))
    sizes = [f"{(out / name).stat().st_size / 1000:.1f} kB" for name in (GRAMMAR_NAME, NGRAM_NAME)]
    tell(f"{out}: {base.name} with this grammar ({sizes[0]}) and a language model ({sizes[1]}, not in use)")
    tell("the model itself was not trained")
    if unknown:
        tell(unsaid(unknown))


def estimate_lm(texts: Sequence[str], tokens: TokenTable) -> NgramModel:
    """Estimate the language model of a domain: its commands, and other speech."""
    return estimate(texts, _LM_ORDER, tokens)


def assemble(
    compiled: Compiled, base: Path, out: Path, lm: NgramModel, found: Findings | None = None
) -> list[str]:
    """Write `base` with a domain's grammar and language model to `out`, whole or not at all.

    Where it has a head of phones, also how the grammar's words are said; return those nobody could say.
    Raises: ArtifactError if `out` is there and is no artifact.
    """
    manifest = _with_findings(load_manifest(base), found or Findings())
    with staged(out) as part:
        kept = manifest.files.keys() - _OWN_FILES - {LEXICON_NAME, WORDS_NAME}
        for name in kept:
            shutil.copy2(base / name, part / name)
        save_grammar(part / GRAMMAR_NAME, compiled.grammar)
        save_ngrams(part / NGRAM_NAME, lm, load_tokens(base, manifest))
        shutil.copyfile(compiled.source, part / DOMAIN_NAME)
        own = set(_OWN_FILES)
        lexicon, unknown = domain_lexicon(compiled, base)
        if lexicon is not None:
            save_lexicon(part / LEXICON_NAME, lexicon)
            own.add(LEXICON_NAME)
        write_manifest(part, replace(manifest, files=describe_files(part, kept | own)))
    return unknown


def domain_lexicon(compiled: Compiled, base: Path) -> tuple[Lexicon | None, list[str]]:
    """Find how the words of a domain are said, by `base` if it knows; list those nobody could say.

    None if it has no head of phones.
    """
    files = load_manifest(base).files
    if PHONE_HEAD_NAME not in files:
        return None, []
    known = load_lexicon(base / LEXICON_NAME) if LEXICON_NAME in files else None
    return pronounce_words(grammar_words(compiled.grammar), known)


def unsaid(words: Sequence[str]) -> str:
    """Tell which words' pronunciations nobody knows, and what becomes of them."""
    return (
        f"nobody could say {listed(words)}: sentences with such a word are not judged by phones"
        " (pip install edge-las[align], or espeak-ng)"
    )


def _with_findings(manifest: Manifest, found: Findings) -> Manifest:
    rate = max(manifest.speller.max_tokens_per_s, found.tokens_per_s)
    return replace(
        manifest,
        search={**manifest.search, **found.search},
        accuracy={**manifest.accuracy, **found.accuracy},
        speller=replace(manifest.speller, max_tokens_per_s=rate),
    )
