.DEFAULT_GOAL := help
.PHONY: help setup lock audit demo demo-flood test coverage test-slow fuzz lint fix bench docs docs-serve pictures clean

PYTHON ?= python3
# uv from the PATH, else one that pip installs in .uv
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"
PYTEST := $(RUN) pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# uv looks for wheels where pip does: a CPU build of torch, for example.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# Compile once at installation: with PYTHONDONTWRITEBYTECODE each process would compile anew.
export UV_COMPILE_BYTECODE := 1
# Write it for this package and the rewritten tests too: without, each of the tests' processes compiles them anew.
unexport PYTHONDONTWRITEBYTECODE
DEMO := demo
# Print at once, with or without a terminal.
export PYTHONUNBUFFERED := 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/bin/python: | $(filter .uv/bin/uv,$(UV))
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	@$(UV) pip install --quiet --python .venv --exact --editable . --group dev --constraints requirements.lock
	@touch $@

setup: .venv/.installed ## install the locked versions in .venv (make -B setup: from scratch)

lock: $(filter .uv/bin/uv,$(UV)) ## resolve the dependencies of pyproject.toml again into requirements.lock
	UV=$(UV) $(PYTHON) .ci/lock.py

# OSV, because it needs no request to the package index. The hashes are left out since pip-audit requires all or none.
audit: $(filter .uv/bin/uv,$(UV)) ## list known vulnerabilities of the locked versions (requires access to osv.dev)
	sed '/--hash/d; s/ *\\$$//' requirements.lock | $(UV) tool run --quiet pip-audit@2.10.1 --requirement /dev/stdin \
		--no-deps --disable-pip --vulnerability-service osv --progress-spinner off

demo: setup ## train on synthetic scenes, export to ONNX, segment one scene and map another (under 4 minutes)
	$(RUN) flood-seg train +experiment=demo output_dir=$(DEMO)/outputs plots_dir=$(DEMO)/plots datamodule.data_dir=$(DEMO)/data
	$(RUN) flood-seg convert-to-onnx --onnx $(DEMO)/model.onnx output_dir=$(DEMO)/outputs
	$(RUN) flood-seg data sample --out $(DEMO)/new datamodule.sample.count=4 datamodule.sample.seed=1 datamodule.sample.height=600 datamodule.sample.width=800
	$(RUN) flood-seg infer --onnx $(DEMO)/model.onnx --image $(DEMO)/new/images/0000.jpg --out $(DEMO)/water.png --overlay
	$(RUN) flood-seg data sample --out $(DEMO)/scenes datamodule.sample.count=2 datamodule.sample.seed=2 datamodule.sample.height=2000 datamodule.sample.width=2000 datamodule.sample.ground_sample_distance=0.25
	$(RUN) flood-seg map --model $(DEMO)/model.onnx --image $(DEMO)/scenes/images/0000.tif --out $(DEMO)/map map.scale=0.25
	@echo "Look at $(DEMO)/water_overlay.jpg, $(DEMO)/water.png, $(DEMO)/map/map.html and $(DEMO)/plots."

VALLEY := $(DEMO)/flood/valley
demo-flood: setup ## map a synthetic flood with the bundled model and report whom it affects (under a minute)
	$(RUN) flood-seg data sample --out $(VALLEY) datamodule=valley
	$(RUN) flood-seg map --model models/flood_mobilenet/model.onnx --image $(VALLEY)/images/flood.tif --before $(VALLEY)/images/before.tif --permanent $(VALLEY)/layers/permanent_water.gpkg --out $(DEMO)/flood/map map.scale=0.35
	$(RUN) flood-seg flood-area --results $(DEMO)/flood/map --districts $(VALLEY)/layers/districts.gpkg --validation $(VALLEY)/layers/validation.gpkg
	$(RUN) flood-seg impact --flood $(DEMO)/flood/map $(foreach layer,roads buildings places depots districts,--$(layer) $(VALLEY)/layers/$(layer).gpkg) --population $(VALLEY)/layers/population.tif --out $(DEMO)/flood/impact
	$(RUN) flood-seg report --results $(DEMO)/flood/map --impact $(DEMO)/flood/impact --out $(DEMO)/flood/sitrep report.title="Mill Valley"
	@echo "Look at $(DEMO)/flood/sitrep/sitrep.html, sitrep.pdf beside it, and $(DEMO)/flood/map/map.html."

test: setup ## run the tests
	$(PYTEST) --durations=12

coverage: setup ## run the tests and fail below 85 % of the lines (a third slower)
	$(PYTEST) --cov --cov-report=term --cov-fail-under=85

test-slow: setup ## run the tests that need real data or minutes
	$(RUN) pytest -m slow

EXAMPLES ?= 5000
fuzz: setup ## fuzz the inputs for longer than make test does (EXAMPLES=5000 of each kind instead of 60)
	FLOOD_SEG_FUZZ=long EXAMPLES=$(EXAMPLES) $(RUN) pytest tests/faults/test_fuzz.py --timeout 0

lint: setup ## run the hooks of .pre-commit-config.yaml on all files: style, types, spelling, imports, lock
	$(RUN) pre-commit run --all-files

fix: setup ## fix style where ruff can do it automatically
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: setup ## run the benchmarks and print their table (DATA=folder of images/ and masks/)
	$(RUN) python benchmarks/run.py $(if $(DATA),--data $(DATA))

docs: setup ## build the documentation site in site/
	$(RUN) python docs/architecture.py
	$(RUN) python docs/recipes.py
	$(RUN) python docs/reference.py
	$(RUN) python docs/notebooks.py
	$(RUN) zensical build --strict --clean

docs-serve: docs ## serve the documentation site, rebuilt on changes
	$(RUN) zensical serve

pictures: demo demo-flood ## draw the pictures of README.md and docs/ (requires Chromium)
	$(RUN) python docs/draw.py $(DEMO)/model.onnx $(DEMO)/new/images/0000.jpg
	$(RUN) python docs/screenshots.py $(DEMO)/model.onnx $(DEMO)/flood/sitrep

clean: ## remove what the other targets created
	rm -rf .venv .uv $(DEMO) build dist site .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
