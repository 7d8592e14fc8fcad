# Two commands on a fresh machine with python3 (3.11 or newer), make and git:
#   make demo    executes the quickstart and shows its training here
#   make test    every test, with a real engine, git, kernels and Chromium, and the coverage

PYTHON ?= python3
VENV := .venv/bin
RUN := $(VENV)/python
# A file's tests stay in one process, and files start in their order: those with a browser come last,
# one by one (tests/conftest.py), so that all processes end together.
AT_ONCE := -n logical --maxprocesses=4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-browser check bench bench-data docs clean

help:
	@echo "make demo          train the quickstart's model on this machine"
	@echo "make test          run every test; prints line and branch coverage"
	@echo "make test-browser  run only the tests in JupyterLab and Notebook 7"
	@echo "make check         format, lint, types, import arrows, duplicates"
	@echo "make bench         measure what docs/performance.md promises"
	@echo "make bench-data    measure only the data's way, and print its table"
	@echo "make docs          execute tutorial and examples, build the documentation"
	@echo "make setup         only make the environment .venv"
	@echo "make clean         remove what these made, but not .venv"

setup:
	@$(PYTHON) tools/make_venv.py

demo: setup
	@$(RUN) tools/demo.py

test: setup
	@browser=$$($(RUN) tools/find_browser.py) && rm -rf build/screenshots && \
	ANYLEARN_CHROMIUM="$$browser" $(RUN) -m pytest $(AT_ONCE) --cov --cov-branch --cov-report=term

test-browser: setup
	@browser=$$($(RUN) tools/find_browser.py) && rm -rf build/screenshots && \
	ANYLEARN_CHROMIUM="$$browser" $(RUN) -m pytest -m browser -v

check: setup
	$(VENV)/ruff format --check
	$(VENV)/ruff check
	$(VENV)/mypy
	$(RUN) -m pytest -q tests/test_import_arrows.py
	$(RUN) tools/duplicates.py

bench-data: setup
	@$(RUN) tools/bench_data.py

bench: setup
	@browser=$$($(RUN) tools/find_browser.py) || exit 1; missed=0; \
	for script in $$(grep -l __main__ bench/*.py); do echo "== $$script"; \
	ANYLEARN_CHROMIUM="$$browser" $(RUN) $$script || missed=1; done; exit $$missed

docs: setup
	@$(RUN) tools/build_docs.py

clean:
	rm -rf build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
