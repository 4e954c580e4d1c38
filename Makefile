# Every target sets up what it needs: a virtual environment in .venv, made by the newest suitable
# Python that is found. Nothing but make and Python 3.11 or newer has to be there.

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench clean

VENV := .venv
# A suitable Python is 3.11 or newer and can make virtual environments.
SUITABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON := for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then echo "$$python"; exit; fi; done

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/examples.stamp ## Compile a kernel, show its stages, run it on a photograph, check it
	@$(VENV)/bin/python examples/demo.py

test: $(VENV)/dev.stamp ## Run all tests
	@$(VENV)/bin/python -m pytest -n auto --every-target

lint: $(VENV)/dev.stamp ## Style, types and the import contract
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/dev.stamp ## Format the code and mend what ruff can mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/dev.stamp ## Measure start-up, compile and call times
	@$(VENV)/bin/python -m benchmarks.startup

clean: ## Remove the virtual environment and everything that was built
	rm -rf $(VENV) build dist out .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "tilec needs Python 3.11 or newer with the venv module, and none was found." >&2; \
		echo "Name one: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	echo "Making a virtual environment with $$python"; \
	"$$python" -m venv $(VENV)

$(VENV)/examples.stamp: $(VENV)/bin/python pyproject.toml
	@echo "Installing tilec and what the examples need"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[examples]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python pyproject.toml
	@echo "Installing tilec and the development tools"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
