# Every target works on a bare machine: Python >= 3.11 and make are all it takes.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?=
PYTEST_ARGS ?=
BACKEND ?= embedded
JOBS ?= 3
COUNT ?= 20000
SEED ?= 1
QUICK ?=
MINUTES ?= 30

VENV := .venv
BIN := $(VENV)/bin
# A file of tests shares its servers, so it stays in one process; files go in the order of tests/conftest.py. Tests wait for
# servers about half of their time: so JOBS is one more than the cores of a small machine.
PYTEST = $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call install,WHAT): what pip says where it fails; of an index that nobody answers for it says much and not that.
install = $(BIN)/pip install --quiet --no-deps $(1) 2> $@.said; status=$$?; \
  if [ $$status -ne 0 ] && grep 'connection broken by' $@.said | grep -qv SSLError; then \
    echo 'facesearch is not installed: pip cannot reach the package index from here. "Without network" in' \
      'docs/install.md says what to copy from a machine that can.' >&2; \
  else cat $@.said >&2; fi; \
  rm -f $@.said; exit $$status

.DEFAULT_GOAL := help
.PHONY: help up samples test test-all coverage lint format unit integration browser screenshots containers site bench hostile fuzz faults soak contract-table check-deploy docs lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ \
	  line = sprintf("  make %-14s", $$1); words = split($$2, word, " "); \
	  for (i = 1; i <= words; i++) { \
	    if (length(line) + 1 + length(word[i]) > 79) { print line; line = sprintf("%21s", "") } \
	    line = line " " word[i] } \
	  print line }'
	@echo
	@echo "  make up takes HOST=$(HOST) PORT=$(PORT) DATA_DIR=<folder>;"
	@echo "  make test and make test-all take PYTEST_ARGS='-k name' and JOBS=$(JOBS),"
	@echo "  the number of test files that run at once"

up: $(VENV)/.runtime ## Install, fetch the models and serve on http://HOST:PORT (Ctrl-C stops it)
	@exec $(BIN)/facesearch up --host '$(HOST)' --port '$(PORT)' $(if $(DATA_DIR),--data-dir '$(DATA_DIR)')

samples: samples/grace.jpg ## Fetch two portraits, in the public domain, to try the calls with

test: lint ## Lint, type-check and run all tests but the slow ones
	$(BIN)/facesearch models pull
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-all: lint $(VENV)/.deploy $(VENV)/.browser $(VENV)/.site ## Lint, type-check and run every test
	$(BIN)/facesearch models pull
	$(PYTEST) $(PYTEST_ARGS)

coverage: $(VENV)/.deploy $(VENV)/.browser $(VENV)/.site ## Run every test and print coverage by package (takes half as long again)
	@rm -f .coverage .coverage.*
	@$(BIN)/facesearch models pull
	$(PYTEST) --cov --cov-report= $(PYTEST_ARGS)
	@$(BIN)/python tests/coverage_by_package.py

lint: $(VENV)/.dev ## Check style (ruff), formatting, types (mypy) and who imports whom (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 --package facesearch_client
	$(BIN)/lint-imports --no-cache --no-logo

unit: $(VENV)/.dev ## Run only the tests that need no server and no model
	$(BIN)/pytest tests/unit tests/architecture clients/python/tests $(PYTEST_ARGS)

integration: $(VENV)/.dev ## Run the integration tests against BACKEND=embedded|given|containers
	@$(BIN)/facesearch models pull
	$(BIN)/pytest tests/integration --backend=$(BACKEND) $(PYTEST_ARGS)

browser: $(VENV)/.browser ## Drive the console and the pages of the API in Chromium (Debian: apt-get install chromium)
	@$(BIN)/facesearch models pull
	$(BIN)/pytest tests/browser $(PYTEST_ARGS)

screenshots: $(VENV)/.browser ## Write pictures of the console into docs/images
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python -m browser.screenshots docs/images

site: $(VENV)/.site ## Make a site with a search of the documents, into build/site
	@rm -rf build/site build/doctrees
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs --doctree-dir build/doctrees . build/site
	@echo 'build/site/index.html'

containers: $(VENV)/.dev $(VENV)/.deploy ## Build the images and run them in Docker, disturbed under load
	PYTHONPATH=. $(BIN)/python tests/containers/stand_ins.py
	CONTAINERS=1 $(BIN)/pytest tests/containers $(PYTEST_ARGS)

format: $(VENV)/.dev ## Rewrite the source in the project's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure everything, into docs/performance.md (QUICK=1: in a minute, and write nothing)
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python bench/run.py $(if $(QUICK),--quick)

hostile: $(VENV)/.dev ## Measure what each hostile input costs, into docs/hostile-input-costs.md
	PYTHONPATH=tests $(BIN)/python bench/hostile_input.py docs/hostile-input-costs.md

fuzz: $(VENV)/.dev ## Send hostile requests (COUNT=20000 SEED=1), search histories for a broken promise, and tell what became of the service
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --count $(COUNT) --seed $(SEED)

faults: $(VENV)/.dev ## Do harm to the service under load, into docs/fault-figures.md (QUICK=1: only kill -9, and write nothing; SEED=1)
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python -m faults.run --seed $(SEED) $(if $(QUICK),--quick,--into docs/fault-figures.md)

soak: $(VENV)/.dev ## Load the service with all calls, good and bad (MINUTES=30 SEED=1), and tell what grows
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python -m soak.run --minutes $(MINUTES) --seed $(SEED)

contract-table: $(VENV)/.dev ## Run every request of the table in docs/answers.md and write its answers there
	@$(BIN)/facesearch models pull
	@PYTHONPATH=tests $(BIN)/python -m contract.table

check-deploy: $(VENV)/.deploy ## Validate Dockerfiles, compose files, the Helm chart, alerts and dashboards
	@PYTHONPATH=deploy $(BIN)/python -m check

docs: $(VENV)/.runtime ## Write what is generated: docs/settings.md, docs/openapi.json, docs/openapi-admin.json and the chart's schema
	@$(BIN)/python -m gateway.openapi.document > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json
	@$(BIN)/python -m gateway.admin.document > docs/openapi-admin.json.new && mv docs/openapi-admin.json.new docs/openapi-admin.json
	@{ sed '/^| variable/,$$d' docs/settings.md; env -u COLUMNS -u XDG_DATA_HOME -u XDG_CACHE_HOME $(BIN)/facesearch settings; } \
	  > docs/settings.md.new && mv docs/settings.md.new docs/settings.md
	@PYTHONPATH=deploy $(BIN)/python -m check.settings

lock: $(VENV)/.dev ## Choose the newest allowed version of every dependency and pin it with its hashes
	$(BIN)/pip install --quiet uv
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --upgrade --extra dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	$(COMPILE) --group gateway -c requirements/dev.txt -o requirements/gateway.txt
	$(COMPILE) --extra otel -c requirements/dev.txt pyproject.toml -o requirements/image.txt
	$(COMPILE) --extra otel --extra gpu -c requirements/dev.txt --no-emit-package onnxruntime pyproject.toml \
	  -o requirements/image-cuda.txt
	$(COMPILE) --upgrade --group deploy -c requirements/dev.txt -o requirements/deploy.txt
	$(COMPILE) --upgrade --group browser -c requirements/dev.txt -o requirements/browser.txt
	$(COMPILE) --upgrade --group site -c requirements/dev.txt -o requirements/site.txt
	$(COMPILE) --upgrade --group build -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove what make made here (never your data, never the fetched models)
	rm -rf $(VENV) samples .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

# The stamps are written last, so an interrupted install starts over. The lists are complete: without --no-deps pip would
# ask for the newest release of what a package names with an extra, and refuse it for want of a hash.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "facesearch needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo 'installing requirements/runtime.txt'
	@$(call install,--require-hashes -r requirements/runtime.txt)
	@$(call install,--editable .)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo 'installing requirements/dev.txt'
	@$(call install,--require-hashes -r requirements/dev.txt)
	@touch $@

$(VENV)/.deploy: requirements/deploy.txt $(VENV)/.runtime
	@echo 'installing requirements/deploy.txt'
	@$(call install,--require-hashes -r requirements/deploy.txt)
	@touch $@

$(VENV)/.browser: requirements/browser.txt $(VENV)/.dev
	@echo 'installing requirements/browser.txt'
	@$(call install,--require-hashes -r requirements/browser.txt)
	@touch $@

$(VENV)/.site: requirements/site.txt $(VENV)/.dev
	@echo 'installing requirements/site.txt'
	@$(call install,--require-hashes -r requirements/site.txt)
	@touch $@

# Two packages that tests use ship them: Grace Hopper (US Navy) and Eileen Collins (NASA). Without what they need.
samples/grace.jpg: | $(BIN)/python
	@rm -rf samples && mkdir samples
	@awk '/^(matplotlib|scikit-image)==/ { on = 1 } on { print } !/\\$$/ { on = 0 }' requirements/dev.txt > samples/list.txt
	@$(BIN)/pip install --quiet --no-deps --require-hashes --target samples/packages -r samples/list.txt
	@mv samples/packages/skimage/data/astronaut.png samples/eileen.png
	@mv samples/packages/matplotlib/mpl-data/sample_data/grace_hopper.jpg samples/grace.jpg
	@rm -r samples/packages samples/list.txt
	@ls samples/*
