.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage test-slow fuzz lint fix bench docs clean

PYTHON ?= python3
# uv from the PATH, else one that pip puts beside the environment
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
PYTEST := $(RUN) pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# Wheels that pip was told of, a CPU build of torch for example, are uv's too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# Compiled once here, or else by each process anew where Python is told to write no bytecode.
export UV_COMPILE_BYTECODE := 1
DEMO := demo
# The same with and without a terminal.
export PYTHONUNBUFFERED := 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

setup: $(filter .uv/bin/uv,$(UV)) ## make the development environment in .venv
	@$(UV) sync --quiet --python $(PYTHON)

demo: setup ## train on synthetic scenes, export, and find the water in one of them (under 4 minutes)
	$(RUN) flood-seg train +experiment=demo output_dir=$(DEMO)/outputs plots_dir=$(DEMO)/plots datamodule.data_dir=$(DEMO)/data
	$(RUN) flood-seg convert-to-onnx --onnx $(DEMO)/model.onnx output_dir=$(DEMO)/outputs
	$(RUN) flood-seg data sample --out $(DEMO)/new datamodule.sample.count=4 datamodule.sample.seed=1 datamodule.sample.height=600 datamodule.sample.width=800
	$(RUN) flood-seg infer --onnx $(DEMO)/model.onnx --image $(DEMO)/new/images/0000.jpg --out $(DEMO)/water.png --overlay
	@echo "Look at $(DEMO)/water_overlay.jpg, $(DEMO)/water.png and $(DEMO)/plots."

test: setup ## run the tests
	$(PYTEST) --durations=12

coverage: setup ## run the tests and fail below 85 % of the lines (a third slower)
	$(PYTEST) --cov --cov-report=term --cov-fail-under=85

test-slow: setup ## run the tests that need real data or minutes
	$(RUN) pytest -m slow

EXAMPLES ?= 5000
fuzz: setup ## look longer for input that is answered wrongly (EXAMPLES=5000 for each kind; in CI 60)
	FLOOD_SEG_FUZZ=long EXAMPLES=$(EXAMPLES) $(RUN) pytest tests/faults/test_fuzz.py --timeout 0

lint: setup ## check style, types, spelling and the direction of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) mypy benchmarks docs
	$(RUN) codespell $$(git ls-files)
	$(RUN) lint-imports

fix: setup ## mend what can be mended by itself
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: setup ## print the table of measured numbers (DATA=folder of images/ and masks/)
	$(RUN) python benchmarks/run.py $(if $(DATA),--data $(DATA))

docs: demo ## draw the pictures of the README (wants Chromium) and write docs/recipes.md anew
	$(RUN) python docs/recipes.py
	$(RUN) python docs/draw.py $(DEMO)/model.onnx $(DEMO)/new/images/0000.jpg
	$(RUN) python docs/screenshots.py $(DEMO)/model.onnx

clean: ## remove what the other targets made
	rm -rf .venv .uv $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
