# Two commands: `make demo` shows it work, `make test` checks everything. Both build .venv when it is missing or old.

PYTHON ?= python3
BIN := .venv/bin
SHARED_OUT := --numprocesses auto --dist loadfile --no-loadscope-reorder  # conftest.py says which files come first

.PHONY: demo docs test test-oldest test-next bench soak mutants vlmeval lint types images clean

demo: .venv/installed
	$(BIN)/python demo/run.py

test: .venv/installed vlmeval lint types
	$(BIN)/pytest $(SHARED_OUT)

# The models and the host on the oldest transformers and Pillow that pyproject.toml allows, put in front of the installed
# ones. The folder is named after them, so that another choice is installed anew. What transformers needs comes into the
# folder, too, so filelock is named there, which pyproject.toml bounds.
OLDEST := transformers==5.6.0 pillow==11.0.0 filelock==4.2.12
OLDEST_AT := .venv/oldest-$(subst $() ,-,$(OLDEST))
test-oldest: .venv/installed
	test -e "$(OLDEST_AT)" || $(BIN)/pip install --quiet --target "$(OLDEST_AT)" $(OLDEST)
	PYTHONPATH="$(CURDIR)/$(OLDEST_AT)" $(BIN)/pytest tests/test_llava.py tests/test_vila.py tests/test_images.py tests/test_probe.py tests/test_last_layer.py tests/test_unread_layers.py \
	    tests/test_reuse.py tests/test_sparsevlm.py tests/test_sepm_reference.py tests/test_batches.py \
	    tests/test_lmms_eval.py::test_sepm_on_a_miniature_emoset_and_on_the_demo $(SHARED_OUT)

# By hand, before a release: everything on the newest releases there are, pre-releases included.
test-next:
	rm -rf .venv-next
	$(PYTHON) -m venv .venv-next
	.venv-next/bin/pip install --quiet --upgrade pip "setuptools>=77"
	.venv-next/bin/pip install --quiet --pre --editable ".[test]"
	.venv-next/bin/pip install --quiet --pre --upgrade transformers  # which pyproject.toml holds back
	.venv-next/bin/pip list | grep -iE "^(torch|transformers|tokenizers|lmms[-_]eval|pillow|huggingface)"
	.venv-next/bin/pytest $(SHARED_OUT)

# Slips made in the core one at a time, which the tests must notice; not part of make test.
mutants: .venv/installed
	$(BIN)/python tests/mutants.py

# Not every machine can build VLMEvalKit: it needs a C compiler (Polygon3) and x86-64 Linux (decord).
vlmeval: .venv/installed
	test -e .venv/vlmeval || { $(BIN)/pip install --progress-bar off --editable ".[test,vlmeval]" && touch .venv/vlmeval; } \
	    || echo "VLMEvalKit could not be installed; the tests that need it will be skipped"

bench: .venv/installed
	$(BIN)/python benchmarks/bench.py

# The picture of a report in README.md; needs Chromium.
images: .venv/installed
	$(BIN)/python docs/images/report.py
	$(BIN)/python docs/images/view.py

# Kills, cuts and starves runs, and counts what is lost; about a quarter of an hour.
soak: .venv/installed
	$(BIN)/python tests/soak.py

# The documentation as a site that is read without a network; a warning, such as of a link to nowhere, is an error.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

.venv/docs: .venv/installed
	$(BIN)/pip install --progress-bar off --editable ".[test,docs]"
	touch $@

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
	rm -rf .venv .venv-next build site results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
