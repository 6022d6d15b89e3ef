# Needs Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quick test lint nlu

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# Every method on the generated suite, without any download: minutes on two cores.
quick: .venv/installed
	$(BIN)/mtl-lora run quick
	$(BIN)/mtl-lora report

test: .venv/installed
	$(BIN)/pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The five methods at one budget on GLUE, 2,000 training rows a task: an hour or so on two cores.
nlu: .venv/installed
	$(BIN)/mtl-lora run nlu --max-train 2000 --methods all
	$(BIN)/mtl-lora report
