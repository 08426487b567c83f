# Two commands matter: `make demo` and `make test`. Everything runs inside .venv, which is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORE ?= demo-out/store
ADDRESS ?= 127.0.0.1:50051
PHOTOS ?=

export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow check generate bench serve install clean

demo: $(READY)  ## index a gallery, learn codes, serve, search; PHOTOS=folder for your own pictures
	$(BIN)/polyhash demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: $(READY)  ## the whole suite but the slow tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --jaxtyping-packages=service,hashing,emotion,gan_aug,beartype.beartype

test-slow: $(READY)  ## the slow tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow --timeout 3600

check: $(READY)  ## format, lint, types, import contracts, protos, generated code, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	BUF=$(BIN)/buf sh proto/breaking.sh
	PYTHON=$(BIN)/python sh proto/generate.sh --check

generate: $(READY)  ## regenerate the gRPC code beside the protos
	PYTHON=$(BIN)/python sh proto/generate.sh

bench: $(READY)  ## every benchmark, tables to standard output
	$(BIN)/python -m benchmarks

serve: $(READY)  ## serve STORE on ADDRESS
	$(BIN)/polyhash serve --store "$(STORE)" --address "$(ADDRESS)"

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "polyhash needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist demo-out .pytest_cache .mypy_cache .ruff_cache
