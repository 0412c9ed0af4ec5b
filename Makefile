# The verbs of Parley. Every target first brings .venv to exactly what it needs.
#
#   make synth && make push REPO=org/name

PYTHON   ?= python3
PIP_ARGS ?=

RECIPE   ?= spc
N        ?= 72
SEED     ?= 0
ENDPOINT ?=
MODEL    ?=
PRESET   ?= $(if $(ENDPOINT),improved,laptop)
RUN      ?= runs/$(RECIPE)
FLAGS    ?=

DIST     ?= dist/synthetic-persona-chat
REPO     ?=
PRIVATE  ?=
VERSION  ?=
PUSH     ?=

PORT     ?= 3000

BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help synth build push serve embedded test check bench bench-peers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  synth:  RECIPE=$(RECIPE) N=$(N) SEED=$(SEED) RUN=$(RUN) [ENDPOINT=url] [MODEL=folder or Hub id] [PRESET=..] [FLAGS='--field value']"
	@echo "  push:   REPO=org/name [PRIVATE=1] [VERSION=1.0.0] [PUSH='--create-pr --revision branch --replace']"

synth: .venv/.serve,embed ## seeds to a dataset folder with a card, checked by load_dataset
	$(BIN)/python -m synthesis $(RECIPE) --preset $(PRESET) --n $(N) --seed $(SEED) --out $(RUN) \
	  $(if $(ENDPOINT),--endpoint $(ENDPOINT)) $(if $(MODEL),--model $(MODEL)) --threads $$($(BIN)/python -c 'import os; print(min(2, len(os.sched_getaffinity(0))))') $(FLAGS)
	$(BIN)/python -m builders build $(RUN)

build: .venv/.base ## a finished run to a dataset folder
	$(BIN)/python -m builders build $(RUN)

push: .venv/.base ## the dataset folder to the Hub, verified there
	@test -n "$(REPO)" || { echo "error: make push needs REPO=org/name" >&2; exit 2; }
	$(BIN)/python -m builders push $(DIST) --repo $(REPO) $(if $(PRIVATE),--private) $(if $(VERSION),--version $(VERSION)) $(PUSH)

serve: .venv/.serve ## the embedded model behind the text-generation-inference protocol
	$(BIN)/python -m synthesis.server --model $(or $(MODEL),embedded) --port $(PORT)

embedded: .venv/.train,embed ## train the embedded model anew: CORPUS=dialogues.jsonl.gz
	@test -n "$(CORPUS)" || { echo "error: make embedded needs CORPUS=dialogues.jsonl.gz" >&2; exit 2; }
	$(BIN)/python -m training.embedded_data --corpus $(CORPUS) --out runs/embedded/data
	$(BIN)/python -m training.sft --config training/embedded.yaml

test: .venv/.dev ## the whole suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

check: .venv/.dev ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.dev ## benchmarks, as ratios, and docs/benchmarks.md anew
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/benchmarks --benchmark-enable --benchmark-only
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.table --write

bench-peers: .venv/.dev ## the same load in datatrove, distilabel and Data Designer, each in an environment of its own
	@for peer in 'datatrove datatrove[io] aiofiles httpx aiosqlite' 'distilabel distilabel[openai] requests' 'data-designer data-designer'; do \
	  set -- $$peer; name=$$1; shift; test -d .venv-peers/$$name || $(PYTHON) -m venv .venv-peers/$$name; \
	  .venv-peers/$$name/bin/pip install -q --disable-pip-version-check $(PIP_ARGS) "$$@" || rm -rf .venv-peers/$$name; done
	$(BIN)/python -m tests.benchmarks.beside --write

clean: ## everything that was made, but runs and dist
	rm -rf .venv .venv-peers *.egg-info .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.base: setup.cfg constraints.txt | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

.venv/.%: setup.cfg constraints.txt | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[$*]'
	@touch $@ .venv/.base
