# Two commands: `make demo` shows it work, `make test` checks everything. Both build .venv when it is missing or old.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench vlmeval lint types clean

demo: .venv/installed
	$(BIN)/python demo/run.py

test: .venv/installed vlmeval lint types
	$(BIN)/pytest

# Not every machine can build VLMEvalKit: it needs a C compiler (Polygon3) and x86-64 Linux (decord).
vlmeval: .venv/installed
	test -e .venv/vlmeval || { $(BIN)/pip install --progress-bar off --editable ".[test,vlmeval]" && touch .venv/vlmeval; } \
	    || echo "VLMEvalKit could not be installed; the tests that need it will be skipped"

bench: .venv/installed
	$(BIN)/python benchmarks/bench.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# A type checker does not follow an editable install into the two mapped folders, so it gets a plain copy.
types: .venv/installed
	rm -rf .venv/typed build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target .venv/typed .
	rm -rf build
	MYPYPATH=$(CURDIR)/.venv/typed $(BIN)/mypy

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/pip install --progress-bar off --editable ".[test]"
	touch $@

clean:
	rm -rf .venv build results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
