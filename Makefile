# make demo    a map from the real scene in examples/, in a minute or two
# make test    everything the tests need, then all of them
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean

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

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[cpu]"
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[cpu,train,dev,wandb,mlflow]"
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) out build *.egg-info
