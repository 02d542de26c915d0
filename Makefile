# Needs Python 3.11 or newer, pip and a shell. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Extras to install and test beside the core, for example: make test EXTRAS=local
EXTRAS ?=
comma := ,
TEST_EXTRAS := dev$(if $(EXTRAS),$(comma)$(EXTRAS),)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow lint clean

demo: $(VENV)/installed
	$(BIN)/affectome demo --out affectome-demo

test: $(VENV)/installed-$(TEST_EXTRAS) lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/installed-$(TEST_EXTRAS)
	$(BIN)/python -m pytest -m slow

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

$(VENV)/installed-$(TEST_EXTRAS): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[$(TEST_EXTRAS)]'
	touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist affectome-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
