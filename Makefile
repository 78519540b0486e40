# make demo | test | slow | check | format | clean      The set-up is redone only when its inputs changed.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.intaglio-installed
C_FILES = $(shell find src tests -name '*.[ch]')

.PHONY: setup demo test slow check format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[quantize,train,metrics,dev]'
	touch $@

demo: $(STAMP)
	$(PY) -m intaglio.demo

test: $(STAMP)
	$(PY) -m pytest -n 2 -m "not slow"

slow: $(STAMP)
	$(PY) -m pytest -m slow

check: $(STAMP)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	@$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	@$(VENV)/bin/clang-format -i $(C_FILES)

clean:
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
