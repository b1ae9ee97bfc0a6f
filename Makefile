# Every target does its own set-up in .venv. PYTHON=python3.12 make demo chooses the Python, and replaces a .venv of another.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Versions that must go together; `make demo CONSTRAINTS=` leaves the choice to pip.
CONSTRAINTS ?= -c constraints.txt
SEEDS ?= 3
comma := ,
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(CONSTRAINTS)
EXTRAS := clap,offline,whisper-offline,dask,engine,ffmpeg,mteb,notebook,parquet,ranking,s3,serve,watch,docs,dev
SUM := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
# Two stamps: what the demo needs, and what tests, checks and real data need beside it.
INSTALLED := $(VENV)/.installed-$(SUM)
TOOLS := $(VENV)/.tools-$(SUM)

# The version of a Python, as 3.12; "old" below 3.11.
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2] if sys.version_info >= (3, 11) else "old")' 2>/dev/null || echo none
HAVE := $(shell $(BIN)/python $(VERSION))
ASKED := $(if $(filter file,$(origin PYTHON)),,$(shell $(PYTHON) $(VERSION)))
REPLACE := $(if $(filter 3.%,$(HAVE)),$(filter-out $(HAVE),$(ASKED)),$(HAVE))

.PHONY: help setup tools demo stamps notebook test test-lowest test-latest check bench reproduce docs clean
help:
	@echo "make demo               clips -> features -> heads -> table and page of pictures (reports/)"
	@echo "make test               all tests; plain pytest in .venv: the quick ones"
	@echo "make test-lowest        the quick tests on the oldest packages that pyproject.toml allows; test-latest: on the newest"
	@echo "make notebook           the tutorial of examples/own_folder.ipynb, run to its end"
	@echo "make check              ruff, mypy, import-linter, the documentation's links"
	@echo "make bench              each stage beside its peers and the machine's limit, about 45 minutes -> docs/performance.md"
	@echo "make reproduce-table1   Table 1 (to table6, figure5) of the paper over the data sets that are here; make reproduce: all; reproduce-worlds: heads where sound helps or harms"
	@echo "make docs               docs/cli.md from --help, and the documentation's site -> build/site/index.html"
	@echo "make clean              removes what the demo made; the environment stays"

ifneq ($(REPLACE),)
.PHONY: $(INSTALLED)
endif

$(INSTALLED):
ifneq ($(REPLACE),)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "gaid needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); name another: PYTHON=python3.12 make demo" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
endif
	@echo "installing into $(VENV): up to 7 GB, most of it PyTorch for CUDA (README.md: how to have 1 GB); a few minutes"
	$(PIP) -e .
	@rm -f $(VENV)/.installed-* $(VENV)/.tools-*
	@touch $@

$(TOOLS): $(INSTALLED)
	$(PIP) -e '.[$(EXTRAS)]'
	@touch $@

setup: $(INSTALLED)

tools: $(TOOLS)

demo: setup
	$(BIN)/gaid demo --seeds $(SEEDS)

stamps: tools
	$(BIN)/gaid extract --dataset stamps
	$(BIN)/gaid eval --store stores/stamps-offline.zarr --preset mean-pool --split-protocol all

# The tutorial as a notebook, from its first cell to its last; what it makes stays in build/notebook.
notebook: tools
	rm -rf build/notebook
	mkdir -p build/notebook
	cp examples/own_folder.ipynb build/notebook
	cd build/notebook && $(abspath $(BIN))/jupyter-execute own_folder.ipynb

test: tools
	$(BIN)/python -m pytest -n auto --slow $(PYTEST)

# Both before a release (docs/reliability.md). uv resolves; each has an environment of its own, made anew.
RESOLUTION_lowest := lowest-direct
RESOLUTION_latest := highest
# Old packages warn of what new ones, which they bring along, will drop: no fault of ours.
WARNINGS_lowest := -W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning
TESTED := $(subst $(comma), ,$(EXTRAS)) tensorboard zarrs

test-lowest test-latest: test-%:
	rm -rf .venv-$*
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --disable-pip-version-check --quiet uv
	.venv-$*/bin/uv pip compile --quiet --python .venv-$*/bin/python --only-binary :all: --resolution $(RESOLUTION_$*) \
		$(addprefix --extra ,$(TESTED)) pyproject.toml -o .venv-$*/requirements.txt
	.venv-$*/bin/uv pip install --python .venv-$*/bin/python -r .venv-$*/requirements.txt
	.venv-$*/bin/uv pip install --python .venv-$*/bin/python --no-deps -e .
	.venv-$*/bin/python -m pytest -n auto $(WARNINGS_$*)

# Fails on a link that leads nowhere and on a name that the API's page does not find.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SITE)

# The peers that are measured beside us; one that this machine can't install is told as missing in its table.
bench: tools
	$(PIP) -e '.[bench]' || echo 'some peers could not be installed; the tables say which'
	$(BIN)/python -m benchmarks

reproduce: tools
	$(BIN)/gaid reproduce all --seeds $(SEEDS)

reproduce-%: tools
	$(BIN)/gaid reproduce $* --seeds $(SEEDS)

docs: tools
	$(BIN)/python -m gaid.cli.document docs/cli.md
	$(SITE)

clean:
	rm -rf data/demo data/demo-* stores/demo-* runs/demo runs/paper reports .pytest_cache .mypy_cache .ruff_cache
