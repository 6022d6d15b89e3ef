# Needs Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quick test test-slow test-soak lint lock nlu

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

# Every method on the generated suite, without any download: minutes on two cores.
quick: .venv/installed
	$(BIN)/mtl-lora run quick --results build/quick
	$(BIN)/mtl-lora diagnose --results build/quick
	$(BIN)/mtl-lora report --results build/quick

test: .venv/installed
	$(BIN)/pytest

# The tests that `make test` leaves out.
test-slow: .venv/installed
	$(BIN)/pytest -m slow

# A grid of which a process is killed at twenty random moments, one after another; test-slow has the first six.
test-soak: .venv/installed
	$(BIN)/pytest -m soak

# The versions that are installed here become those that `make` installs everywhere.
lock:
	$(BIN)/pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/' > requirements.lock

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The five methods on GLUE at three budgets with three seeds, 800 training rows a task: about an hour and a half on two cores.
nlu: .venv/installed
	$(BIN)/mtl-lora run nlu --max-train 800 --max-eval 250 --epochs 1 --learning-rate 1e-3 --budget 1.5%,3%,6% --seeds 0,1,2 --methods all
	$(BIN)/mtl-lora report
