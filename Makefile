# make setup   .venv with the pinned dependencies, nothing else
# make repro   the whole pipeline; goes on where an earlier run was stopped
# make test    the whole test suite
# make peers   hippynn and torchani beside it: tests and benchmarks compare with them
# make help    every target
#
# PYTHON=/path/to/python3.12   the interpreter that .venv is made from (default: the first >= 3.11 on PATH)
# PIP_ARGS="..."               extra arguments for pip, e.g. an index with CPU-only wheels of torch
# STAGE=spectra                for `make repro`: this stage and what it needs
# MINUTES=5                    for `make fuzz`: how long; FUZZ="--kind extxyz --seed 1" for a part
# TESTS="-m 'not slow'"        for `make test`: extra arguments for pytest; TESTS="-m long" runs what takes minutes a test

VENV := .venv
BIN := $(abspath $(VENV))/bin
# First on PATH: `cmd: python -m ...` in dvc.yaml means the python of .venv.
export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))
export DVC_NO_ANALYTICS := 1
unexport PYTHONHOME
unexport PYTHONPATH

# Written last, so a stopped installation is not taken for a finished one.
STAMP := $(VENV)/.installed
# Written first: an environment without it was made by somebody else, and is never cleared.
BEGUN := $(VENV)/.made-by-make
DOCS_STAMP := $(VENV)/.installed-docs

CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python)
# GPAW without MPI and libxc: built by a C++ compiler alone, and one process for each calculation is what the pipeline wants.
GPAW_SITECONFIG := $(abspath $(VENV))/gpaw_siteconfig.py
PIP := GPAW_CONFIG=$(GPAW_SITECONFIG) $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup peers repro test fuzz doctor lint format types check docs docs-serve picture clean clean-all

help:
	@echo 'make setup     make .venv with the pinned dependencies'
	@echo 'make peers     add hippynn and torchani, which tests and benchmarks compare with'
	@echo 'make repro     run the pipeline (STAGE=name for a part), then say where the report is'
	@echo 'make test      run all tests (TESTS="-k name" for a part)'
	@echo 'make fuzz      feed every reader broken and hostile files (MINUTES=5)'
	@echo 'make doctor    look at this machine and say what is missing and what to do'
	@echo 'make lint      ruff check, ruff format --check'
	@echo 'make types     mypy --strict'
	@echo 'make check     lint, types, tests'
	@echo 'make format    let ruff rewrite the sources'
	@echo 'make docs      build the documentation into site/'
	@echo 'make picture   draw the README picture anew from the results of the pipeline'
	@echo 'make clean     remove tool caches and the scratch shards of generation'
	@echo 'make clean-all also remove .venv (data, runs, reports and the DVC cache stay)'

setup: $(STAMP)
	@# How git merges dvc.lock (.gitattributes names it): only where this folder is the top of a repository.
	@if [ -z "$$(git rev-parse --show-prefix 2>/dev/null || echo none)" ]; then \
	  git config merge.dvc-lock.name 'dvc.lock by stage'; \
	  git config merge.dvc-lock.driver '"$(BIN)/python" -m pipeline.runtime.merge_lock %O %A %B %P'; fi

# An old stamp beside changed pins: install on top. No stamp: whatever lies there is half an installation; begin anew.
$(STAMP): pyproject.toml constraints.txt
	@set -e; base=; \
	for candidate in $(CANDIDATES); do \
	  if found=$$("$$candidate" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)' 2>/dev/null); then \
	    base="$$found"; break; fi; \
	done; \
	if [ -z "$$base" ]; then \
	  echo 'setup: found no Python >= 3.11 (tried: $(CANDIDATES)). Install one, or name it: make setup PYTHON=/path/to/python3.11' >&2; exit 1; fi; \
	if [ ! -f $@ ] && [ ! -f $(BEGUN) ] && [ -n "$$(ls -A $(VENV) 2>/dev/null)" ]; then \
	  echo 'setup: found $(VENV), which was not made by make, and leave it alone. Move it away, or replace it: make clean-all setup' >&2; exit 1; fi; \
	if [ ! -f $@ ]; then \
	  echo "setup: making $(VENV) from $$base"; \
	  rm -rf $(VENV); mkdir -p $(VENV); touch $(BEGUN); \
	  "$$base" -m venv $(VENV) || { \
	    echo 'setup: "python -m venv" failed. On Debian and Ubuntu it is a package of its own: apt-get install python3-venv' >&2; exit 1; }; fi; \
	touch $(BEGUN); rm -f $@ $(DOCS_STAMP)
	@command -v c++ >/dev/null || command -v g++ >/dev/null || { \
	  echo 'setup: found no C++ compiler, which GPAW is built with (the DFT of aluminium). On Debian and Ubuntu: apt-get install g++' >&2; exit 1; }
	@compiler=$$(command -v g++ || command -v c++); \
	printf "mpi = False\ncompiler = '%s'\nnoblas = True\nnolibxc = True\n" "$$compiler" > $(GPAW_SITECONFIG)
	@echo 'setup: installing the versions of constraints.txt (a few minutes the first time)'
	@# torch first and by name: what depends on it must not choose another build.
	@$(PIP) --quiet $(PIP_ARGS) "$$(sed -n '/^torch==/p' constraints.txt)"
	@$(PIP) --quiet $(PIP_ARGS) --editable '.[pipeline,dev,atoms,qm9]'
	@touch $@
	@echo 'setup: $(VENV) is ready'

$(DOCS_STAMP): $(STAMP)
	@$(PIP) --quiet $(PIP_ARGS) --editable '.[docs]'
	@touch $@

# torchani asks for zarr < 3, which it needs for its own datasets only: without its dependencies it serves as oracle and peer.
peers: $(STAMP)
	@$(PIP) --quiet $(PIP_ARGS) hippynn==0.1.3 huggingface_hub
	@$(PIP) --quiet $(PIP_ARGS) --no-deps torchani==2.9.0

repro: $(STAMP)
	@# `python -m`, not the script: a clone that borrows an environment finds its own packages first.
	@python -m pipeline.cli repro $(STAGE)

test: $(STAMP)
	@# One thread in each process of xdist: OpenMP's idle threads spin, and would slow the others down.
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --durations 10 $(TESTS)

fuzz: $(STAMP)
	OMP_NUM_THREADS=1 python -m tests.fuzz --minutes $(or $(MINUTES),5) $(FUZZ)

doctor: $(STAMP)
	@python -m pipeline.cli doctor

lint: $(STAMP)
	ruff check .
	ruff format --check .

format: $(STAMP)
	ruff check --fix .
	ruff format .

types: $(STAMP)
	mypy

check: lint types test

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict

docs-serve: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 python -m mkdocs serve

picture: $(STAMP)
	@python -m pipeline.cli repro report
	@mkdir -p docs/assets
	cp reports/figures/*_lane.png docs/assets/

clean:
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis site
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean
	rm -rf $(VENV)
