# `make demo` and `make test` do all their own set-up: Python 3.11 or later and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Versions that must go together; `make demo CONSTRAINTS=` leaves the choice to pip.
CONSTRAINTS ?= -c constraints.txt
SEEDS ?= 3
INSTALLED := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: help setup demo stamps test check bench reproduce docs clean
help:
	@echo "make demo               clips -> features -> heads -> table and page of pictures (reports/)"
	@echo "make test               all tests"
	@echo "make check              ruff, mypy, import-linter"
	@echo "make bench              each stage beside its peers and the machine's limit, about 45 minutes -> docs/performance.md"
	@echo "make reproduce-table1   Table 1 (to table6, figure5) of the paper over the data sets that are here; make reproduce: all"
	@echo "make docs               docs/cli.md from --help"
	@echo "make clean              removes what the demo made; the environment stays"

$(INSTALLED):
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off $(CONSTRAINTS) -e '.[clap,offline,dask,ffmpeg,parquet,ranking,dev]'
	rm -f $(VENV)/.installed-*
	touch $@

setup: $(INSTALLED)

demo: setup
	$(BIN)/gaid extract --dataset demo
	for preset in mean-pool x-pool t-mass gaid; do \
		$(BIN)/gaid train-head --store stores/demo-tiny.zarr --preset $$preset --seeds $(SEEDS) --out runs/demo/$$preset --resume || exit $$?; \
	done
	$(BIN)/gaid eval --run runs/demo/gaid --against runs/demo/x-pool --against runs/demo/t-mass --against runs/demo/mean-pool --report reports/demo.html

stamps: setup
	$(BIN)/gaid extract --dataset stamps
	$(BIN)/gaid eval --store stores/stamps-offline.zarr --preset mean-pool --split-protocol all

test: setup
	$(BIN)/python -m pytest -n auto

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The peers that are measured beside us; one that this machine can't install is told as missing in its table.
bench: setup
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off $(CONSTRAINTS) -e '.[bench]' || echo 'some peers could not be installed; the tables say which'
	$(BIN)/python -m benchmarks

reproduce: setup
	$(BIN)/gaid reproduce all --seeds $(SEEDS)

reproduce-%: setup
	$(BIN)/gaid reproduce $* --seeds $(SEEDS)

docs: setup
	$(BIN)/python -m gaid.cli.document docs/cli.md

clean:
	rm -rf data/demo data/demo-same-times stores/demo-* runs/demo runs/paper reports .pytest_cache .mypy_cache .ruff_cache
