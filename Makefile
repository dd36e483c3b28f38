# `make demo` and `make test` need nothing but Python 3.11 or newer; each builds what it lacks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint audit screenshot clean

help:  ## show this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/dwcp: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make demo PYTHON=python3.12" >&2; exit 78; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/test: $(BIN)/dwcp
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $@

demo: $(BIN)/dwcp  ## see predictions flow: broker, worker and simulated fleet; Ctrl-C stops it all
	$(BIN)/dwcp demo

test: $(VENV)/test  ## run the tests (ARGS='-k name' narrows them)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(VENV)/test  ## known vulnerabilities of what is installed
	$(BIN)/python -m tests.deploy.audit

screenshot: $(VENV)/test  ## the README's picture of the page (needs Chromium)
	PAGE_SCREENSHOT=streams/page/screenshot.png $(BIN)/python -m pytest tests/e2e/test_page.py -k light

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
