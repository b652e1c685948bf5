# `make run` and `make test` need Python >= 3.11, make and a package index; nothing else.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
# where the datasets of conf/base/catalog.yml lie
MADE := $(addprefix data/01_raw/,images labels arrivals delayed_labels predictions reviews) data/02_intermediate \
	data/03_primary data/05_model_input/prepared_images data/06_models/checkpoints data/06_models/candidate \
	data/07_model_output data/08_reporting

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(SETUP) ## make .venv from requirements.lock and install visionpipe

$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "visionpipe needs Python 3.11 or newer; try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/python -m uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/python -m uv pip install --quiet --no-deps --no-build-isolation --compile-bytecode -e .
	@touch $@

run: setup ## run the demo: photos to a registered model
	PATH="$(CURDIR)/$(BIN):$$PATH" kedro run

test: setup ## run the tests, on up to four cores
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: setup ## run the benchmarks and slow studies
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -m slow
	for script in benchmarks/bench_*.py; do PATH="$(CURDIR)/$(BIN):$$PATH" python "$$script" || exit 1; done

check: setup ## lint, format, and see that dvc.yaml is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" visionpipe dvc-stages --env base --check

forget: ## delete data, models and runs made here, to start over with other photos
	for made in $(MADE); do test ! -d $$made || find $$made/ -type f ! -name .gitkeep -delete || exit 1; done
	rm -rf mlflow.db mlflow.db-* mlartifacts dvc.lock .dvc/cache .dvc/tmp

lock: ## write requirements.lock anew (hashes, no index host)
	$(BIN)/python -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --quiet --upgrade -o requirements.lock

.PHONY: help setup run test bench check forget lock
