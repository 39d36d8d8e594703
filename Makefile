# Every target works in a fresh clone and can be repeated. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= # empty: python3, else the newest that fits
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME := $(CURDIR)
.DEFAULT_GOAL := help
.PHONY: help build start_environment stop_environment demo quick_test run_test test run_test_stack fresh_test lint run_pipeline start_pipeline stop_pipeline status log verify publish_report alert_test audit_silver dev s3 spark_connect spark_3_5 duckdb_delta install_dependencies benchmark torture long_life data_dictionary pictures licenses lock clean

# These targets run in the stack while it is up, otherwise in this machine's .venv.
define in_stack_or_here
@if deploy/stack running; then echo "In the stack:" && deploy/stack run python -m brewery_assets $(1); \
	else $(MAKE) --silent $(or $(2),$(VENV)/installed) && echo "On this machine:" && \
	$(BIN)/python -m brewery_assets $(1); fi
endef

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z0-9_]+:.*## /{printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## install, then run the pipeline on the bundled data and make its page, in lake/
	@$(BIN)/python -m demo.run

# Tests run in parallel, one process more than cores, because many tests wait. mypy runs meanwhile.
define lint_and_test
@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-cache
@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadgroup $(1) $(PYTEST); \
	tests=$$?; wait $$types || { echo "mypy found errors: see above"; exit 1; }; exit $$tests
endef

quick_test: $(VENV)/installed ## run before each commit: lint, types and the tests that need only Python
	$(call lint_and_test,-m "not slow and not stack")

run_test: $(VENV)/expectations ## run lint, types and all tests except those of the stack
	$(lint_and_test)

test: run_test ## the same as run_test

run_test_stack: $(VENV)/installed ## test the whole stack: start it, kill its services, read its bucket
	$(BIN)/python -m pytest -m stack $(PYTEST)

fresh_test: ## run the README's two commands in a minimal Debian: SUITE=forky (Python 3.14), TESTS=run_test
	@scripts/fresh_test $(or $(SUITE),forky) $(or $(TESTS),run_test)

lint: $(VENV)/installed ## check formatting, style, import direction and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

build: ## build the stack's images; create .env with random secrets if there is none
	@deploy/stack build

start_environment: ## start the stack of docker-compose.yml, wait until it is healthy, print its addresses
	@deploy/stack start

stop_environment: ## stop the stack; asks whether to delete its data, YES=1 deletes it without asking
	@YES=$(YES) deploy/stack stop

run_pipeline: ## run the pipeline once, on the live API or BREWERY_API_URL
	$(call in_stack_or_here,run)

start_pipeline: ## turn the daily schedule and the sensors on; without the stack they need `make dev`
	$(call in_stack_or_here,start)

stop_pipeline: ## turn the daily schedule and the sensors off
	$(call in_stack_or_here,stop)

status: ## show the schedule and sensors, the last runs, the newest snapshot of each layer
	$(call in_stack_or_here,status)

log: ## print the full log of the last run; RUN=1a2b3c4d chooses another
	$(call in_stack_or_here,log $(RUN))

verify: ## check that snapshots are whole and layers agree; REPAIR=1 brings the Delta tables up to date
	$(call in_stack_or_here,verify $(if $(REPAIR),--repair))

publish_report: ## publish the page of the newest counts, with their CSV inside: <lake>/brewery_report/index.html
	$(call in_stack_or_here,report)

alert_test: ## send a test message to every address in ALERT_URLS, and print whether it arrived
	$(call in_stack_or_here,alert-test)

audit_silver: ## validate silver with Great Expectations; HTML in <lake>/data_docs/
	$(call in_stack_or_here,audit,$(VENV)/expectations)

dev: $(VENV)/installed ## start the Dagster UI and its daemon on http://127.0.0.1:3000
	@$(BIN)/dg dev --host 127.0.0.1

s3: $(VENV)/installed ## start a local S3 server, to try a lake on S3 without an account
	@$(BIN)/python -m demo.s3

spark_connect: $(VENV)/installed ## start an Apache Spark Connect server on localhost:15002, with a token (Java 17 to 22)
	@$(BIN)/python -m brewery_assets.engine.server

spark_3_5: .spark-3.5/installed ## install Apache Spark 3.5 in .spark-3.5/, to test the version that EMR runs

duckdb_delta: .duckdb/installed ## install DuckDB 1.5 in .duckdb/, to test its delta extension (the newest one on PyPI)

install_dependencies: $(VENV)/installed ## create the virtual environment .venv from the lock file

benchmark: $(VENV)/installed ## measure the pipeline's speed against alternatives
	@$(BIN)/python -m benchmarks

torture: $(VENV)/installed ## kill -9, faults, drift, full disks: MINUTES=10, SEED=1, ONLY="drift s3"; default: all
	@$(BIN)/python -m torture $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

long_life: $(VENV)/installed ## run the pipeline RUNS=300 times into one lake and measure what grows; 45 minutes
	@$(BIN)/python -m torture.long_life --runs $(or $(RUNS),300) --plot docs/pictures/long-life.svg

data_dictionary: $(VENV)/installed ## rebuild docs/data-dictionary.md from the schemas, the checks and the real data
	@$(BIN)/python -m demo.dictionary

pictures: $(VENV)/installed ## rebuild docs/pictures/: the UI and the report in Chromium, with the real data
	@mkdir -p docs/pictures
	@CI=true PICTURES=docs/pictures $(BIN)/python -m pytest -q -k pictures brewery_assets_tests/test_ui.py

licenses: $(VENV)/installed ## the license of each installed package
	@$(BIN)/python scripts/licenses

lock: $(VENV)/installed ## rebuild the lock files from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.10 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group stack --group expectations --constraint requirements.lock --universal \
		--python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --quiet --output-file requirements-stack.lock
	$(BIN)/uv pip compile --group expectations --constraint requirements.lock --universal \
		--python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --quiet --output-file requirements-expectations.lock
	echo "pyspark==3.5.5" | $(BIN)/uv pip compile - --universal --python-version 3.10 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--quiet --output-file requirements-spark-3.5.lock
	printf "%s==1.5.5\n" duckdb-extension-delta duckdb-extension-httpfs | $(BIN)/uv pip compile - \
		--universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --quiet --output-file requirements-duckdb.lock

clean: ## delete lake/ and Dagster's storage in this folder
	rm -rf lake .dagster .nux .telemetry .logs_queue

$(VENV)/installed: requirements.lock pyproject.toml
	@scripts/install "$(PYTHON)" $(VENV)

$(VENV)/expectations: requirements-expectations.lock $(VENV)/installed
	@echo "Installing Great Expectations into $(VENV)/ (150 MB)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r $<
	@touch $@

.spark-3.5/installed: requirements-spark-3.5.lock | $(VENV)/installed
	@rm -rf .spark-3.5
	@$(BIN)/uv venv --quiet --python $(BIN)/python .spark-3.5
	@$(BIN)/uv pip install --quiet --python .spark-3.5/bin/python --require-hashes -r $<
	@touch $@

.duckdb/installed: requirements-duckdb.lock | $(VENV)/installed
	@rm -rf .duckdb
	@$(BIN)/uv venv --quiet --python $(BIN)/python .duckdb
	@$(BIN)/uv pip install --quiet --python .duckdb/bin/python --require-hashes -r $<
	@touch $@
