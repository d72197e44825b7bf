# make quickstart [AUDIO=folder]   install into .venv, then run R-Spin on the sample or on your audio
# make test                        install into .venv, then run the tests offline
# make gpu-check                   check and time on this machine's GPU, offline, eight minutes at most;
#                                  with GPU_PYTHON=python, by a Python that has torch and transformers
# make docs                        install into .venv, then run the notebooks and build site/index.html
# make lint | clean
#
# PYTHON=...    interpreter that creates .venv (default: the first Python >= 3.11 found)
# PIP_ARGS=...  extra arguments for every `pip install`. PyPI's torch for Linux brings several GB of
#               CUDA libraries; for a small CPU-only install, pass the address of PyTorch's CPU
#               package index here: PIP_ARGS="--extra-index-url <address>".

VENV ?= .venv
AUDIO ?=
OUTPUT ?= runs/quickstart
PIP_ARGS ?=
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$name"; break; }; done)

TORCH := $(shell grep '^torch==' constraints.txt)
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1

.DEFAULT_GOAL := help
.PHONY: help quickstart test docs gpu-check lint clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

quickstart: $(VENV)/.package
	$(OFFLINE) $(BIN)/python training_scripts/quickstart.py --output_dir "$(OUTPUT)" \
		$(if $(AUDIO),--audio "$(AUDIO)")

# Bytecode is kept even where the environment says not to: the scripts that the tests start would each
# compile the package again.
test: $(VENV)/.tools
	$(OFFLINE) PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto

# The notebooks run first, each a minute or so: a page of the site is one with its results.
docs: $(VENV)/.docs
	mkdir -p build/notebooks
	$(OFFLINE) $(BIN)/jupyter-execute --output "$(CURDIR)/build/notebooks/{notebook_name}" docs/notebooks/*.ipynb
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html (its search needs a server: python -m http.server --directory site)"

# Without .venv the Python at hand: a machine with a GPU has a torch of its own.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

gpu-check:
	PYTHONPATH=. $(OFFLINE) $(GPU_PYTHON) training_scripts/gpu_check.py

lint: $(VENV)/.tools
	$(BIN)/ruff check .

clean:
	rm -rf "$(VENV)" build site .pytest_cache .ruff_cache hf_rspin.egg-info
	find hf_rspin tests training_scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# Some Python installations (Debian's) come without ensurepip: pip then installs pip into the venv.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found; install one, or pass PYTHON=path."; exit 1; }
	$(PYTHON) -m venv "$(VENV)" || { $(PYTHON) -m venv --clear --without-pip "$(VENV)" \
		&& $(PYTHON) -m pip --python "$(BIN)/python" install pip; }

# torch goes first and by its exact version: an open range would fetch the newest (CUDA) build.
$(VENV)/.package: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) "$(TORCH)"
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.tools: $(VENV)/.package
	$(PIP_INSTALL) -e ".[test]"
	touch $@

$(VENV)/.docs: $(VENV)/.package
	$(PIP_INSTALL) -e ".[docs]"
	touch $@
