# Everything the project does from a shell; `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
JAVA := . scripts/java.sh;
PYTEST := $(JAVA) .venv/bin/pytest
COMPILE := .venv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --upgrade

.PHONY: help setup demo test test-slow test-cluster test-jars test-stack trial bench package workers lint format lock clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## virtual environment with locked versions, and Java if the machine has none
	@scripts/setup.sh

demo: setup  ## whole nights on an embedded data set, or on real data: make demo DATA=path
	@$(JAVA) .venv/bin/python scripts/demo $(if $(DATA),--data "$(DATA)")

test: setup  ## the tests, at most 12 minutes on 2 cores
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup  ## kills, clusters and long loops
	@$(PYTEST) -m slow -n 2 --dist loadfile

test-cluster: setup  ## nights on a standalone cluster: an executor killed, speculation
	@$(PYTEST) -m cluster

test-jars: setup  ## what needs jars from outside
	@$(PYTEST) -m jars

test-stack: setup  ## the feed on the oldest and on the newest packages it supports
	@scripts/stack.sh

trial: setup  ## long runs on real data: make trial DATA=folder
	@$(JAVA) .venv/bin/python scripts/trial --data "$(or $(DATA),../shared/data)"

bench: setup  ## the benchmarks, each prints its figures as JSON last: make bench TINY=1 shows that they run
	@$(JAVA) for script in scripts/bench/*.py; do .venv/bin/python $$script $(if $(TINY),--tiny); done

package: setup  ## dist/recsys_spark.zip, the code that Spark sends to a cluster's workers, and the wheel
	@scripts/package.sh

workers: setup  ## dist/workers.tar.gz, this project and all its packages, for a cluster's workers that have Python alone
	@.venv/bin/python scripts/workers.py

lint: setup  ## ruff, strict types, who may import whom
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup  ## format and fix what can be fixed
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

lock: setup  ## make both lock files anew from pyproject.toml and requirements-oldest.in
	@.venv/bin/python -m pip install --quiet uv
	@$(COMPILE) --universal --extra dev pyproject.toml -o requirements.lock
	@$(COMPILE) --python-platform linux requirements-oldest.in -o requirements-oldest.lock

clean:  ## remove what the commands above made, but not .venv, .stack and .jdk
	@rm -rf .demo .trial .pytest_cache .mypy_cache .ruff_cache .import_linter_cache spark-warehouse dist
