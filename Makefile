# `make run` and `make test` need nothing but Python 3.11 or newer: they build their own environment in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.dev

.PHONY: run test chaos lint bench clean notebook

# Exit code 10 means that the record is broken: one of the sample stories is damaged on purpose.
run: $(STAMP)
	@$(BIN)/keytrail run sample_logs --lake lake || [ $$? -eq 10 ]

# A file goes to one process as a whole: what its tests share is made once. One process more than two cores, since some
# tests wait for brokers and clocks.
test: $(DEV)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow' tests

# The long part: hundreds of kills, real brokers restarted and paused, large inputs. About half an hour on two cores.
# The second run looks for counterexamples further than `make test`; the last one is all of the table in
# docs/reliability.md, its short tests too, and prints it.
chaos: $(DEV)
	@failed=0; \
	$(BIN)/python -m pytest -n 2 -m slow --ignore tests/chaos --ignore tests/crash tests || failed=1; \
	HYPOTHESIS_PROFILE=more $(BIN)/python -m pytest -n 2 -m 'hypothesis and not slow' tests || failed=1; \
	$(BIN)/python -m pytest -n 2 tests/chaos tests/crash || failed=1; \
	exit $$failed

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV)
	$(BIN)/python tests/bench/run.py

NOTEBOOK ?= first_look
notebook: $(DEV)
	$(BIN)/marimo run notebooks/$(NOTEBOOK).py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("keytrail needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "making $(VENV), once"
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	@echo "installing keytrail and what it needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -m compileall -q pipeline detectors
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing keytrail, and what tests and notebooks need, into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[anchor,notebook,probe,sigma,dev]'
	@$(BIN)/python -m compileall -q pipeline detectors
	@touch $(STAMP) $@

clean:
	rm -rf $(VENV) lake
