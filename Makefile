# Everything is set up by the target that needs it; `make help` lists them.
#   PYTHON=python3.12   the interpreter of a new .venv
#   ARGS='-k slab'      more arguments for smpmm (run, bench, soak) or pytest (test)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= 2
SOAK_SECONDS ?= 600
ifeq ($(origin CC),default)
CC := gcc
endif
export CC

FOLDERS := $(patsubst %/__init__.py,%,$(wildcard $(addsuffix /__init__.py,cpus interrupts smpmm tools)))
COMPILED := $(if $(FOLDERS),$(shell find $(FOLDERS) -name '*_cy.py'))
HEADERS := $(if $(FOLDERS),$(shell find $(FOLDERS) -name '*.pxd' -o -name '*.h'))
MISSING := $(strip $(foreach source,$(COMPILED),$(if $(wildcard $(source:.py=.*.so)),,missing)))

# The stamp of the environment holds the folders that it was told of.
MOVED := $(if $(wildcard $(VENV)/.run),$(if $(filter-out $(file <$(VENV)/.run),$(FOLDERS)),missing))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run test build check bench soak wheel-check clean missing

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build  ## set up, then stress a machine of four CPUs
	$(BIN)/smpmm stress $(ARGS)

test: $(VENV)/.test build  ## set up, then run the tests, as CI does
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow' $(ARGS)

build: build/.compiled  ## compile in place what changed (ONLY=slab_cy: that module alone)

check: $(VENV)/.dev $(VENV)/.test build  ## format, lint, types, house rules and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house
	$(BIN)/python -m pytest -n $(JOBS) --ignore tests/house $(ARGS)

bench: build  ## measure the ratios against the peers
	$(BIN)/smpmm bench $(ARGS)

soak: $(VENV)/.test build  ## the slow tests, then ten minutes of stress (SOAK_SECONDS)
	$(BIN)/python -m pytest -m slow || [ $$? -eq 5 ]
	$(BIN)/smpmm stress --seconds $(SOAK_SECONDS) $(ARGS)

wheel-check: $(VENV)/.test build  ## build a wheel, install it in an empty environment, run it
	$(BIN)/python -m pytest tests/house/test_wheel.py

clean:  ## remove the environment and everything built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	[ -z "$(FOLDERS)" ] || find $(FOLDERS) -name '*.so' -exec rm -f {} +

# The environment. pip runs only when there is none or pyproject.toml has changed.
$(VENV)/.run: pyproject.toml $(MOVED)
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo \
	  "smpmm needs Python 3.11 or later: there is no $(PYTHON) here" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' || { echo \
	  "smpmm needs Python 3.11 or later, and $(PYTHON) is not: try make PYTHON=python3.12" >&2; exit 1; }
	@command -v $(firstword $(CC)) >/dev/null || { echo \
	  "smpmm is compiled with gcc, which is not here: install it (Debian, Ubuntu: apt-get install gcc)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	  "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; os.path.exists(sysconfig.get_path("include") + "/Python.h") or sys.exit(1)' || { echo \
	  "$(PYTHON) has no header files to compile with: install them (Debian, Ubuntu: apt-get install python3-dev)" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing what smpmm needs"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' >$(VENV)/build-requires.txt
	@$(PIP) install -r $(VENV)/build-requires.txt
	@SMPMM_SKIP_EXTENSIONS=1 $(PIP) install --no-build-isolation -e .
	@echo $(FOLDERS) >$@

$(VENV)/.test: $(VENV)/.run
	@echo "installing what the tests need"
	@SMPMM_SKIP_EXTENSIONS=1 $(PIP) install --no-build-isolation -e '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the checkers"
	@SMPMM_SKIP_EXTENSIONS=1 $(PIP) install --no-build-isolation -e '.[dev]'
	@touch $@

# The compiled modules. The stamp is as old as the build's beginning, so that a source edited
# meanwhile is compiled next time.
ifdef ONLY
build/.compiled: $(VENV)/.run missing
	@$(BIN)/python setup.py -q build_ext --inplace --only $(ONLY)
else
build/.compiled: $(VENV)/.run setup.py $(COMPILED) $(HEADERS) $(MISSING)
	@mkdir -p build
	@touch build/.begun
	@echo "compiling what changed: some minutes the first time; messages go to build/compile.log"
	@$(BIN)/python setup.py -q build_ext --inplace >build/compile.log 2>&1 || { \
	  grep -v 'Wsign-compare\|^ .*|' build/compile.log >&2; exit 1; }
	@$(BIN)/python -m compileall -q $(FOLDERS)
	@mv build/.begun $@
endif
missing:
