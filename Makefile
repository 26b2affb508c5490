# Two commands: `make demo` shows a real result, `make test` tests everything that must always hold.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2
# One thread for each worker. Bytecode is kept, whatever the environment says: the tests start many programs.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

.PHONY: demo test lint types sweep snapshot docs clean

demo: .venv/installed
	$(BIN)/convatlas classify --samples --top 3
	$(BIN)/convatlas check

test: .venv/tested lint types
	$(PYTEST) -m "not sweep"

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/tested
	$(BIN)/mypy

# Everything, exhaustively; QUARTER=0..3 runs a fourth of it.
sweep: .venv/tested
	$(PYTEST) -m sweep $(if $(QUARTER),--quarter $(QUARTER))

# The measured figures that `convatlas list` shows.
snapshot: .venv/installed
	$(BIN)/python -m convatlas.anatomy.measure.snapshot

docs: .venv/tested
	$(BIN)/python docs/generate.py
	$(BIN)/python examples/accuracy_against_parameters.py docs/images/atlas.png
	$(BIN)/convatlas draw resnet50 -o docs/images/resnet50.png

clean:
	rm -rf .venv build dist

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'installing PyTorch and the other requirements into .venv: some minutes, 6 GB, without further words'
	$(PIP) --editable .
	touch $@

.venv/tested: .venv/installed
	$(PIP) --editable '.[dev]'
	touch $@
