# make demo    a map from the real scene in examples/, in a minute or two
# make test    everything the tests need, then all of them
# make plugin  the zip for QGIS, in dist/; make plugin-install [PROFILE=default] puts it into your QGIS profile
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= default

.PHONY: demo test lint bench plugin plugin-install translations clean

demo: $(VENV)/.demo
	mkdir -p out
	$(BIN)/rsgeo infer examples/s2_l2a_T48QUE_20200223.tif -o out/map.tif
	$(BIN)/rsgeo preview out/map.tif --scene examples/s2_l2a_T48QUE_20200223.tif -o out/map.png
	@echo "The map is out/map.tif (open it in QGIS), a picture of it out/map.png."

test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/pip install -q geodeep
	$(BIN)/python benchmarks/inference.py

plugin:
	$(PYTHON) -m release.archive

plugin-install:
	$(PYTHON) -m release.installation --profile "$(PROFILE)"

# The texts of the plugin into qgis_plugin/i18n/*.ts; prints what is not translated.
translations:
	$(PYTHON) -m release.catalogue

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[cpu]"
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[cpu,train,dev,plugin,wandb,mlflow]"
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) out build dist *.egg-info
