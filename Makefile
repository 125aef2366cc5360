# make demo    a map from the real scene in examples/, in a minute or two
# make test    everything the tests need, then all of them
# make wheelhouse [WHEELHOUSE=folder] [VARIANT=gpu]    all that an offline installation of the QGIS environment needs,
#              for this system and the Python of PYTHON
# make lock    the newest versions of what the QGIS environment installs, with their hashes
# make plugin  the zip for QGIS, in dist/; make plugin-install [PROFILE=default] puts it into your QGIS profile
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= default
WHEELHOUSE ?= wheelhouse
VARIANT ?= cpu
LOCKS := qgis_plugin/environment/locks

.PHONY: demo test lint bench plugin plugin-install translations lock wheelhouse clean

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

lock: | $(BIN)/python
	$(BIN)/python -m pip install -q uv
	for variant in cpu gpu; do $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.10 --generate-hashes \
	  --only-binary :all: --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --constraints $(LOCKS)/constraints.txt --extra $$variant pyproject.toml -o $(LOCKS)/$$variant.txt || exit 1; done

# uv's wheel comes along, so that an offline machine without ensurepip can use it. rsgeo is built outside of build/,
# which may hold modules that are no longer there.
wheelhouse: | $(BIN)/python
	$(BIN)/python -m pip download -q --require-hashes --only-binary :all: -r $(LOCKS)/$(VARIANT).txt -d $(WHEELHOUSE)
	$(BIN)/python -m pip download -q --no-deps --only-binary :all: -d $(WHEELHOUSE) \
	  "uv==$$(sed -n 's/^VERSION = "\(.*\)"/\1/p' qgis_plugin/environment/uv.py)"
	scratch=$$(mktemp -d) && printf '[build]\nbuild_base = %s\n' "$$scratch" > "$$scratch/build.cfg" && \
	  DIST_EXTRA_CONFIG="$$scratch/build.cfg" $(BIN)/python -m pip wheel -q --no-deps -w $(WHEELHOUSE) . && rm -r "$$scratch"
	@echo "$(WHEELHOUSE) is complete; choose it under Settings > Options > rsgeo, or run rsgeo:setup with SOURCE=wheelhouse."

clean:
	rm -rf $(VENV) out build dist *.egg-info
