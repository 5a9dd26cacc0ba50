# Every target sets up what it needs, on a machine with git, make and Python >= 3.11.

PY := .venv/bin/python
READY := .venv/.ready
YARDSTICKS := .cache/bench-venv

# make demo FOR=20s; make test T="tests/unit -k spool"; make soak KILLS=40 FOR=600
FOR ?=
KILLS ?= 200
T ?=
UPGRADE ?=
IMAGE ?= api2db

COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)
PACKAGE = pyproject.toml --extra all

# The tests start the program a thousand times: what Python has compiled is kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup servers demo test soak lint type bench docs image lock

help:  ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | \
		awk -F'\t' '{ printf "make %-7s %s\n", $$1, $$2 }'

$(READY): pyproject.toml requirements/dev.txt scripts/setup_environment.sh
	@sh scripts/setup_environment.sh
	@touch $@

setup: $(READY)  ## The environment in .venv, from the locked packages

servers:
	@sh scripts/setup_servers.sh

demo: $(READY)  ## The whole product on a replay of a real API; FOR=20s ends it by itself
	@$(PY) demo/run $(if $(FOR),--for $(FOR))

test: $(READY) servers  ## The tests; the last line says which targets were tested. T= narrows them
	@$(PY) -m pytest -q --targets --numprocesses 3 --dist worksteal $(T)

soak: $(READY) servers  ## The long tests: KILLS=200 kills within FOR seconds, mutants, an outage
	@$(PY) -m tests.fault.killloop --kills $(KILLS) $(if $(FOR),--seconds $(FOR))
	@$(PY) -m tests.fault.killloop --targets mariadb,mysql,duckdb,csv,csvreplace,json,pickle,bitio \
		--kills $(KILLS) $(if $(FOR),--seconds $(FOR))
	@$(PY) -m tests.fault.killloop --targets postgresql,postgresql2,mariadb,mysql,duckdb,csv \
		--kills 40 --outage-spills 30 --drain 150 $(if $(FOR),--seconds $(FOR))
	@$(PY) -m tests.fault.killloop --targets postgresql,mariadb,duckdb,csv --kills 20 --without-markers
	@$(PY) -m tests.fault.killloop --targets mariadb,duckdb,csv --kills 10 --outage-spills 8 \
		--drain 30 --without-order
	@sh scripts/setup_drivers.sh
	@if [ -e .cache/bigquery-venv/.ready ]; then \
		$(PY) -m tests.fault.killloop --targets bigquery --kills 40 $(if $(FOR),--seconds $(FOR)) && \
		$(PY) -m tests.fault.killloop --targets bigquerywrite --kills 10; fi
	@$(PY) -m tests.fault.killloop --targets omnisci --kills 40 $(if $(FOR),--seconds $(FOR))
	@$(PY) -m tests.fault.killloop --targets omnisci --kills 10 --without-markers
	@if $(PY) -c 'from tests.fixtures.siridb import binaries as b; exit(not b())'; then \
		$(PY) -m tests.fault.killloop --targets siridb --kills 40 $(if $(FOR),--seconds $(FOR)) && \
		$(PY) -m tests.fault.killloop --targets siridb --kills 10 --without-markers; fi
	@$(PY) -m pytest -q -m soak --timeout 1000 --show-capture stdout

lint: $(READY)  ## ruff, and the layers
	@$(PY) -m ruff check .
	@.venv/bin/lint-imports --no-cache

type: $(READY)  ## mypy, strict
	@$(PY) -m mypy api2db

$(YARDSTICKS)/.ready: requirements/bench.txt | $(READY)
	@$(PY) -m venv $(YARDSTICKS)
	@$(YARDSTICKS)/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r $<
	@touch $@

bench: $(READY) $(YARDSTICKS)/.ready servers  ## How fast: start-up, each target beside its driver, an API into PostgreSQL beside a hand-written loop, forms beside those of 2021
	@failed=0; for part in startup targets "end_to_end --dlt --memory $(T)" recompose extraction; do \
		$(PY) -m benchmarks.$$part || failed=1; done; exit $$failed

image: $(READY)  ## The container image; without a container engine its steps are tried in a folder
	@if docker info >/dev/null 2>&1; then docker build --pull -t $(IMAGE) .; \
	else PYTHON=$(PY) HADOLINT=.venv/bin/hadolint sh scripts/try_image.sh; fi

docs: $(READY)  ## Do links lead somewhere, do the named commands exist, does the example load?
	@$(PY) -m pytest -q tests/unit/test_documents.py

lock: $(READY)  ## Make requirements/*.txt anew from pyproject.toml; UPGRADE=1 takes newer versions
	@$(COMPILE) $(PACKAGE) --group dev -o requirements/dev.txt
	@$(COMPILE) $(PACKAGE) --constraint requirements/dev.txt -o requirements/run.txt
	@$(COMPILE) --constraint requirements/dev.txt --group drivers -o requirements/drivers.txt
	@$(COMPILE) --constraint requirements/dev.txt --group siridb -o requirements/siridb.txt
	@$(COMPILE) --constraint requirements/dev.txt --group build -o requirements/build.txt
	@$(COMPILE) --constraint requirements/dev.txt --group bench -o requirements/bench.txt
	@$(COMPILE) requirements/original.in -o requirements/original.txt
	@$(COMPILE) --group emulator -o requirements/bigquery.txt
