# make setup | demo | test | check: each sets up first; `make` alone lists the targets.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check clean

help:
	@echo "make demo    set up, then run the whole pipeline on the embedded sample (under 10 minutes on 2 cores)"
	@echo "make test    set up, then run the whole test suite"
	@echo "make check   ruff, mypy and the import rules"
	@echo "make setup   only set up: .venv with everything that is needed"
	@echo "make clean   remove .venv and the demo's scratch folder"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt setup.sh
	@PYTHON="$(PYTHON)" sh setup.sh
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python -m flows.demo

# Many tests wait for a server or a worker, so three processes keep two cores busy. A test that hangs ends its process,
# which is not restarted.
test: $(STAMP)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 0

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_house.py

clean:
	rm -rf .venv demo
