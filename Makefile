# Everything runs in .venv, made with plain pip: Python >= 3.10, pip and make suffice.
PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

# tensors here are tiny: more threads than cores only wait for each other
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PIP_NO_INPUT := 1

.PHONY: help quickstart test docs clean

help:
	@echo "make quickstart   train a small model on data/xtb_molecules.xyz (a few minutes)"
	@echo "make test         run the tests; PYTEST_ARGS='-k name' passes arguments on"
	@echo "make docs         build the documentation: docs/build/index.html"
	@echo "make clean        remove .venv, quickstart-run, docs/build and caches"

quickstart: $(VENV)/.installed
	$(BIN)/python -m examples.quickstart.run

test: $(VENV)/.installed-tests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/build
	@echo "open docs/build/index.html"

clean:
	rm -rf $(VENV) quickstart-run build docs/build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.10 or newer, or name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$$($(PYTHON) --version) is too old: name Python 3.10 or newer with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: install Python's venv module (python3-venv on Debian)"; exit 1; }

# the stamps make a second call install nothing until what they depend on changes
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (a few minutes, once)"
	$(INSTALL) -e ".[wandb]"
	@touch $@

$(VENV)/.installed-tests: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) with what the tests need (a few minutes, once)"
	$(INSTALL) -e ".[tests,wandb,docs]"
	@touch $@ $(VENV)/.installed $(VENV)/.installed-docs

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) with what the documentation needs (a few minutes, once)"
	$(INSTALL) -e ".[docs,wandb]"
	@touch $@ $(VENV)/.installed
