# Two commands: `make run` (import, features, model, predictions) and `make test`. Both make .venv at first need.
#   make run                        what the home holds; in an empty one a simulated cohort (ATHLETES=30 YEARS=3)
#   make run EXPORT=export_123.zip  a Strava account export, its activities.csv, or recordings (FIT, GPX, TCX)
#   make test                       the fast lane: what needs no process beside the embedded engine
#   make test-all                   that, then what starts Apache Spark, daemon, webserver, clusters, PostgreSQL,
#                                   and test-client
#   make stress                     kills, faults, 2,000 ticks; SCALE=0.05 is a short form, SCALE=20 takes hours
#   make bench [SIZE=full]          what each part costs, beside polars and DuckDB: minutes, SIZE=full hours;
#                                   SCRIPTS="feature_build checks" runs those alone
#   make check                      ruff and mypy
#   make ui [PORT=3001]             the Dagster UI on this home
#   make audit                      known weaknesses of the pinned packages, and their licences
#   make image                      the image of the Dockerfile, built and its code loaded in it; needs Docker
#   make test-client                the feature store with the newer client that a cluster may bring (CLIENT=0.18.2)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXPORT ?=
ATHLETES ?=
YEARS ?=
INSTALLED := $(VENV)/.installed
CLIENT ?= 0.18.2
CLIENT_VENV := $(VENV)-client-$(CLIENT)
CLIENT_PINS := constraints-client-$(CLIENT).txt
CLIENT_TESTS := athlete_assets_tests/store/test_conformance.py athlete_assets_tests/store/test_unity_catalog.py \
  athlete_assets_tests/test_definitions.py
# what a cluster's Python has of this project's dependencies; no dagster-databricks, which excludes the newer SDK
ON_CLUSTER := catboost dagster dagster-mlflow dagster-pyspark dagster-slack databricks-feature-engineering deltalake \
  ipython mlflow "pyspark[connect]" pysail scikit-learn scipy setuptools tenacity matplotlib hypothesis pytest pytest-xdist

# pytest keeps its rewritten tests where Python may write bytecode: 10 s a worker otherwise
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
WORKERS ?= 2
TESTS := $(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10
# the marks of tests that need a process beside the embedded engine
BESIDE := java or slow
FILES ?=
SCALE ?= 1
SIZE ?= small
SCRIPTS ?=

.PHONY: help run test test-all test-beside test-client stress bench check audit image ui clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^#   make /,/^[^#]/p' $(firstword $(MAKEFILE_LIST)) | sed -n 's/^#   //p'

run: $(INSTALLED)
	$(BIN)/athlete-assets run $(if $(EXPORT),"$(EXPORT)") $(if $(ATHLETES),--athletes $(ATHLETES)) $(if $(YEARS),--years $(YEARS))

test: $(INSTALLED)
	$(TESTS) -m "not ($(BESIDE) or stress)"

test-all: test test-beside test-client

test-beside: $(INSTALLED)
	$(TESTS) -m "($(BESIDE)) and not stress" $(FILES)

stress: $(INSTALLED)
	STRESS_SCALE=$(SCALE) $(PYTEST) -m stress athlete_assets_tests/stress

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/bench.py $(SIZE) $(SCRIPTS)

test-client: $(CLIENT_VENV)/.installed
	$(CLIENT_VENV)/bin/python -m pytest -n 2 --dist loadfile $(CLIENT_TESTS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(INSTALLED)
	$(BIN)/uv tool run pip-audit@2.10.1 --disable-pip --no-deps --requirement constraints.txt
	$(BIN)/python docs/licences.py --check

image:
	docker build --tag athlete-assets .
	docker run --rm athlete-assets python -c "import athlete_assets.definitions, dagster_cloud, dagster_postgres"

ui: $(INSTALLED)
	$(BIN)/athlete-assets ui $(if $(PORT),--port $(PORT))

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Python 3.10 to 3.12 is needed; choose one with: make PYTHON=python3.11 ..."; exit 2; }
	@echo "Installing what is pinned into $(VENV): about 2 GB, some minutes the first time ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e ".[test]"
	@$(BIN)/python -m compileall -q athlete_assets
	@touch $@

$(VENV)/.bench: $(INSTALLED)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e ".[test,bench]"
	@touch $@

$(CLIENT_VENV)/.installed: $(CLIENT_PINS) $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CLIENT_VENV)
	grep -vE "^($$(sed -n 's/==.*//p' $(CLIENT_PINS) | paste -sd '|')|dagster-databricks)==" constraints.txt \
	  > $(CLIENT_VENV)/constraints.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(CLIENT_VENV)/bin/python -c $(CLIENT_VENV)/constraints.txt \
	  -c $(CLIENT_PINS) $(ON_CLUSTER) \
	  || { echo "databricks-feature-engineering $(CLIENT) cannot be installed here; the reason stands above"; exit 2; }
	@touch $@

constraints-client-%.txt:
	@echo "no $@: write one with the versions that databricks-feature-engineering $* needs; there are: \
	  $(wildcard constraints-client-*.txt)"; exit 2

clean:
	rm -rf $(VENV) $(VENV)-client-*
