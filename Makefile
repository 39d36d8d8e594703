# Every target works from a fresh clone and twice in a row. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= # python3, or the newest that fits
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME := $(CURDIR)
.DEFAULT_GOAL := help
.PHONY: help build start_environment stop_environment demo quick_test run_test test run_test_stack fresh_test lint run_pipeline start_pipeline stop_pipeline status log verify publish_report alert_test audit_silver dev s3 spark_connect spark_3_5 duckdb_delta install_dependencies benchmark data_dictionary pictures lock clean

# These targets mean the stack while it is up, and this machine's .venv while it is not.
define in_stack_or_here
@if deploy/stack running; then echo "In the stack:" && deploy/stack run python -m brewery_assets $(1); \
	else $(MAKE) --no-print-directory $(or $(2),$(VENV)/installed) && echo "On this machine:" && \
	$(BIN)/python -m brewery_assets $(1); fi
endef

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9_]+:.*## /{printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## install, then run the pipeline on the bundled data and make its page, in lake/
	@$(BIN)/python -m demo.run

# Tests run side by side, one more than there are cores, since many of them wait; types meanwhile.
define lint_and_test
@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-cache
@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadgroup $(1) $(PYTEST); \
	tests=$$?; wait $$types || { echo "mypy found errors: see above"; exit 1; }; exit $$tests
endef

quick_test: $(VENV)/installed ## before each commit: lint, types and the tests that need only Python
	$(call lint_and_test,-m "not slow and not stack")

run_test: $(VENV)/expectations ## lint, types and every test but those of the stack
	$(lint_and_test)

test: run_test ## the same

run_test_stack: $(VENV)/installed ## bring the whole stack up, kill its parts, look into its bucket
	$(BIN)/python -m pytest -m stack $(PYTEST)

fresh_test: ## README's two commands in a minimal Debian: SUITE=forky (Python 3.14), TESTS=run_test
	@scripts/fresh_test $(or $(SUITE),forky) $(or $(TESTS),run_test)

lint: $(VENV)/installed ## check format, style, the direction of imports and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

build: ## the stack's images, and .env with random secrets if there is none
	@deploy/stack build

start_environment: ## the stack of docker-compose.yml: up, healthy, and where it is
	@deploy/stack start

stop_environment: ## the stack down; asks before it deletes its data, YES=1 does not ask
	@YES=$(YES) deploy/stack stop

run_pipeline: ## the job once, against the live API or BREWERY_API_URL
	$(call in_stack_or_here,run)

start_pipeline: ## the daily schedule and the sensors on; here, the daemon of `make dev` acts on them
	$(call in_stack_or_here,start)

stop_pipeline: ## the same off
	$(call in_stack_or_here,stop)

status: ## what is on, how the last runs ended, the newest snapshot of each layer
	$(call in_stack_or_here,status)

log: ## the whole log of the last run, RUN=1a2b3c4d of another
	$(call in_stack_or_here,log $(RUN))

verify: ## whether the snapshots are whole and the layers agree; REPAIR=1 brings the Delta tables up to date
	$(call in_stack_or_here,verify $(if $(REPAIR),--repair))

publish_report: ## the page of the newest counts, with its CSV inside: <lake>/brewery_report/index.html
	$(call in_stack_or_here,report)

alert_test: ## a test message to every address in ALERT_URLS, and whether it arrived
	$(call in_stack_or_here,alert-test)

audit_silver: ## silver against its Great Expectations; HTML in <lake>/data_docs/
	$(call in_stack_or_here,audit,$(VENV)/expectations)

dev: $(VENV)/installed ## the Dagster UI with its daemon, on http://127.0.0.1:3000
	@$(BIN)/dg dev --host 127.0.0.1

s3: $(VENV)/installed ## an S3 server on loopback, to try a lake on S3 without an account
	@$(BIN)/python -m demo.s3

spark_connect: $(VENV)/installed ## an Apache Spark Connect server on localhost:15002, with a token (Java 17 to 22)
	@$(BIN)/python -m brewery_assets.engine.server

spark_3_5: .spark-3.5/installed ## Apache Spark 3.5 in .spark-3.5/, for the tests against what EMR runs

duckdb_delta: .duckdb/installed ## DuckDB 1.5 in .duckdb/, the newest whose delta extension is a wheel, for its test

install_dependencies: $(VENV)/installed ## the virtual environment .venv, exactly as locked

benchmark: $(VENV)/installed ## how fast it is, measured against what one would use instead
	@$(BIN)/python -m benchmarks

data_dictionary: $(VENV)/installed ## docs/data-dictionary.md anew, from schemas, checks and the real data
	@$(BIN)/python -m demo.dictionary

pictures: $(VENV)/installed ## make docs/pictures/ again: the UI and the report in Chromium, with the real data
	@mkdir -p docs/pictures
	@CI=true PICTURES=docs/pictures $(BIN)/python -m pytest -q -k pictures brewery_assets_tests/test_ui.py

lock: $(VENV)/installed ## the lock files anew from pyproject.toml
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

clean: ## delete what runs have left here: lake/ and Dagster's own storage
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
