# The two commands of a newcomer are `make demo` and `make test`; each does its own set-up first.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-living test-computing lint types bench rates scenarios lock clean

help:           ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup:          ## install what is missing, and nothing else
	@PYTHON=$(PYTHON) sh tools/setup.sh

demo: setup     ## bring a shop up, break it five ways, find the causes, prove the fixes
	@$(BIN)/python examples/demo.py

# What computes runs beside what mostly waits for processes, so that two cores are both of use, and gives way to it.
COMPUTING := $(addprefix tests/,conformance converge diagnose dialects judge keep orchestrate render sense tongues)

test: setup     ## everything that CI checks
	@sh tools/setup.sh kubectl
	@sh tools/setup.sh cue
	@sh tools/setup.sh registries
	@echo "checks and tests run in two halves side by side; each tells at its end (some ten minutes)"
	@$(MAKE) --no-print-directory --output-sync=line --keep-going -j2 test-living test-computing

test-living:
	$(BIN)/pytest $(addprefix --ignore=,$(COMPUTING))

test-computing:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	nice -n 15 $(BIN)/mypy
	nice -n 15 $(BIN)/pytest -p no:cacheprovider $(COMPUTING)

lint: setup     ## formatting and style, repaired where that can be done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/lint-imports --no-logo

bench: setup    ## measure, as ratios against peers on the same machine
	@$(BIN)/python benchmarks/keep.py
	@$(BIN)/python benchmarks/judge.py
	@$(BIN)/python benchmarks/sense.py
	@$(BIN)/python benchmarks/diagnose.py
	@$(BIN)/python benchmarks/render.py
	@$(BIN)/python benchmarks/converge.py
	@$(BIN)/python benchmarks/oci.py

rates: setup    ## how much of the CEL, OPA, Kyverno and Gatekeeper test suites holds ($FAIRLEAD_CORPUS, or shared/corpus)
	@$(BIN)/python tools/rates.py

scenarios: setup ## play our own failures for real, and count what is found and fixed (root, minutes)
	@$(BIN)/python tools/scenarios.py

lock: setup     ## pin what pyproject.toml asks for
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements.lock

clean:          ## remove what set-up and the tests made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
