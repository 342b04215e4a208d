# Two commands: `make run` (import, features, model, predictions) and `make test`. Both make .venv at first need.
#   make run                        a simulated cohort of 30 athletes and 3 years
#   make run EXPORT=export_123.zip  a Strava account export, or its activities.csv
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXPORT ?=
ATHLETES ?= 30
YEARS ?= 3
INSTALLED := $(VENV)/.installed

.PHONY: run test check ui clean
.DELETE_ON_ERROR:

run: $(INSTALLED)
	$(BIN)/athlete-assets run $(if $(EXPORT),--export "$(EXPORT)",--athletes $(ATHLETES) --years $(YEARS))

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=12

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: $(INSTALLED)
	$(BIN)/athlete-assets ui

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Python 3.10 to 3.12 is needed; choose one with: make PYTHON=python3.11 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV)
