# The verbs of Parley. Each first brings .venv, made with PYTHON, to exactly what it needs.
#
#   make synth && make push REPO=org/name

PYTHON   ?= python3
PIP_ARGS ?=

RECIPE   ?= spc
N        ?= 64
SEED     ?= 0
ENDPOINT ?=
MODEL    ?=
PRESET   ?= $(if $(ENDPOINT),improved,laptop)
RUN      ?= runs/$(RECIPE)
THREADS  ?= $(if $(filter 1,$(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)),1,2)
FLAGS    ?=

DIST     ?= dist/$(if $(filter spc,$(RECIPE)),synthetic-persona-chat,$(RECIPE))
REPO     ?=
PRIVATE  ?=
VERSION  ?=
PUSH     ?=

HUMAN    ?= synthesis/recipes/$(RECIPE)_dialogues.jsonl
BASE     ?= synthesis/embedded
TEACHER  ?=
TRAIN    ?=

PORT     ?= 3000

NAME     ?=

BIN := .venv/bin
# with an endpoint nothing is served here
SYNTH := $(if $(ENDPOINT),embed,serve,embed)
.DEFAULT_GOAL := help
# a model of some million parameters trains by other settings than a large one
SMALL := $(if $(filter synthesis/embedded,$(BASE)),_small)
LONGEST := $(if $(SMALL),1024,2048)
T := runs/$(RECIPE)-teacher
S := runs/$(RECIPE)-student
E := runs/embedded
SIZE    ?= small
.PHONY: help synth build push push-model teacher student loop serve embedded experiment test check bench bench-peers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  synth:  RECIPE=$(RECIPE) N=$(N) SEED=$(SEED) RUN=$(RUN) [ENDPOINT=url] [MODEL=folder or Hub id] [PRESET=..] [FLAGS='--field value']"
	@echo "  teacher, student, loop: RECIPE=autoconv [HUMAN=conversations] [BASE=model] [TRAIN='--flag value'], loop: [REPO=org/name]"
	@echo "  push:   REPO=org/name [PRIVATE=1] [VERSION=1.0.0] [PUSH='--create-pr --revision branch --replace']"
	@echo "  push-model: MODEL=folder REPO=org/name, and the rest as for push"

synth: .venv/.$(SYNTH) ## seeds to a dataset folder with a card, checked by load_dataset
	@test -n "$(filter-out autoconv,$(RECIPE))$(ENDPOINT)$(MODEL)$(TEACHER)" || { echo "error: make synth RECIPE=autoconv" \
	  "needs a teacher (make teacher RECIPE=autoconv, then TEACHER=$(T)), an ENDPOINT= or a MODEL=" >&2; exit 2; }
	$(BIN)/python -m synthesis $(RECIPE) --preset $(PRESET) --n $(N) --seed $(SEED) --out '$(RUN)' --threads $(THREADS) \
	  $(if $(ENDPOINT),--endpoint '$(ENDPOINT)') $(if $(TEACHER)$(MODEL),--model '$(or $(TEACHER),$(MODEL))') \
	  $(if $(TEACHER),--mode teacher) $(if $(filter-out file,$(origin HUMAN)),--human '$(HUMAN)') $(FLAGS)
	$(BIN)/python -m builders build '$(RUN)'

build: .venv/.base ## a finished run to a dataset folder
	$(BIN)/python -m builders build '$(RUN)'

push: .venv/.base ## the dataset folder to the Hub, verified there
	@test -n "$(REPO)" || { echo "error: make push needs REPO=org/name" >&2; exit 2; }
	$(BIN)/python -m builders push '$(DIST)' --repo '$(REPO)' $(if $(PRIVATE),--private) $(if $(VERSION),--version $(VERSION)) $(PUSH)

push-model: .venv/.train ## a trained model with its card to the Hub, verified there: MODEL=folder
	@test -n "$(REPO)" -a -n "$(MODEL)" || { echo "error: make push-model needs MODEL=folder REPO=org/name" >&2; exit 2; }
	$(BIN)/python -m builders push-model '$(MODEL)' --repo '$(REPO)' $(if $(PRIVATE),--private) $(if $(VERSION),--version $(VERSION)) $(PUSH)

teacher: .venv/.train ## a few human conversations to a fine-tuned teacher, measured, with a card: RECIPE=autoconv
	$(BIN)/python -m training.conversations teacher '$(HUMAN)' --held-out 0.1 --test 0.1 --seed $(SEED) --tokenizer '$(BASE)' \
	  --longest $(LONGEST) --out $(T)/examples/train.jsonl --eval-out $(T)/examples/eval.jsonl --test-out $(T)/examples/test.jsonl
	$(BIN)/python -m training.sft --config training/$(RECIPE)_teacher$(SMALL).yaml --model_name_or_path '$(BASE)' \
	  --train_data $(T)/examples/train.jsonl --eval_data $(T)/examples/eval.jsonl --output_dir $(T) --seed $(SEED) \
	  --facts_file $(T)/examples/train.facts.json $(TRAIN)
	$(BIN)/python -m training.evaluate qa --model $(T) --form teacher --data $(T)/examples/test.jsonl --rules squad \
	  --max-source-length $(LONGEST) --out $(T)/evaluation
	$(BIN)/python -m cards model $(T)/facts.json --result $(T)/evaluation/result.json --out $(T)/README.md
	@test ! -f $(T)/adapter_config.json || $(BIN)/python -m training merge $(T) --out $(T)-merged

student: .venv/.train ## a dataset and the same conversations to a small student, in two stages, measured, with a card
	$(BIN)/python -m training.conversations student '$(HUMAN)' --held-out 0.1 --test 0.1 --seed $(SEED) --tokenizer '$(BASE)' \
	  --out $(S)/examples/train.jsonl --eval-out $(S)/examples/eval.jsonl --test-out $(S)/examples/test.jsonl
	$(BIN)/python -m training.sft --config training/$(RECIPE)_student$(SMALL)_pretrain.yaml --model_name_or_path '$(BASE)' \
	  --train_data '$(DIST)' --output_dir $(S)/pretrained --seed $(SEED) $(TRAIN)
	$(BIN)/python -m training.sft --config training/$(RECIPE)_student$(SMALL)_finetune.yaml --output_dir $(S) --seed $(SEED) \
	  --model_name_or_path $(S)/pretrained --train_data $(S)/examples/train.jsonl --eval_data $(S)/examples/eval.jsonl \
	  --facts_file $(S)/examples/train.facts.json $(TRAIN)
	$(BIN)/python -m training.evaluate qa --model $(S) --data $(S)/examples/test.jsonl --rules squad --out $(S)/evaluation
	$(BIN)/python -m cards model $(S)/facts.json --result $(S)/evaluation/result.json --out $(S)/README.md

loop: ## teacher, dataset and student after each other, pushed if REPO=org/name is given: RECIPE=autoconv
	$(MAKE) teacher
	$(MAKE) synth TEACHER=$(T)$$(test ! -f $(T)/adapter_config.json || echo -merged)
	$(MAKE) student
	$(if $(REPO),$(MAKE) push)
	$(if $(REPO),$(MAKE) push-model MODEL=$(T) REPO=$(REPO)-teacher)
	$(if $(REPO),$(MAKE) push-model MODEL=$(S) REPO=$(REPO)-student)

serve: .venv/.serve ## the embedded model behind the text-generation-inference protocol
	$(BIN)/python -m synthesis.server --model '$(or $(MODEL),embedded)' --port $(PORT)

embedded: .venv/.train,embed ## train the embedded model anew: CORPUS=dialogues.jsonl.gz [SIZE=large] [MINUTES=60]
	@test -n "$(CORPUS)" -o -f $(E)/data/facts.json || { echo "error: make embedded needs CORPUS=dialogues.jsonl.gz," \
	  "or $(E)/data with the tokens of one" >&2; exit 2; }
	$(if $(CORPUS),$(BIN)/python -m training.embedded --corpus '$(CORPUS)' --out $(E)/rows \
	  --unless $(E)/rows/facts.json $(E)/data/facts.json)
	test -f $(E)/data/tokenizer/tokenizer.json || $(BIN)/python -m training.models --bare --size small --examples 20000 \
	  --data $(E)/rows/text.train.jsonl $(E)/rows/calls.train.jsonl --out $(E)/data/tokenizer
	test -f $(E)/data/facts.json || { $(BIN)/python -m training.tokens --model $(E)/data/tokenizer --out $(E)/data \
	  --data $(foreach half,train eval,$(E)/rows/text.$(half).jsonl $(E)/rows/calls.$(half).jsonl) && \
	  cp $(E)/rows/facts.json $(E)/data/facts.json; }
	$(BIN)/python -m training.embedded.train --data $(E)/data --size $(SIZE) --out $(E)/$(SIZE) \
	  $(if $(MINUTES),--max-minutes $(MINUTES)) $(TRAIN)
	test ! -f $(E)/$(SIZE)/calls/facts.json || { $(BIN)/python -m training.export --out synthesis/embedded \
	  --run $(foreach part,text calls,$(E)/$(SIZE)/$(part)) --limits training/embedded/limits.txt && \
	  $(BIN)/python -m cards model synthesis/embedded/facts.json --out synthesis/embedded/README.md; }

test: .venv/.dev ## the whole suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

check: .venv/.dev ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

experiment: .venv/.train,embed ## a published experiment: NAME=diasynth-summarise FLAGS='--synthetic DATA'
	@test -f training/experiments/$(subst -,_,$(NAME)).py || { echo "error: make experiment needs NAME=, one of" \
	  $(subst _,-,$(patsubst training/experiments/%.py,%,$(wildcard training/experiments/[a-z]*.py))) >&2; exit 2; }
	$(BIN)/python -m training.experiments.$(subst -,_,$(NAME)) $(if $(ENDPOINT),--endpoint '$(ENDPOINT)') $(FLAGS)

bench: .venv/.dev ## benchmarks, as ratios, and docs/benchmarks.md anew
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/benchmarks --benchmark-enable --benchmark-only
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.table --write
	$(BIN)/python -m tests.benchmarks.metrics --write
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.embedded --write
	@test ! -d .venv-peers || $(BIN)/python -m tests.benchmarks.beside --write

bench-peers: .venv/.dev ## the same load in datatrove, distilabel and Data Designer, each in an environment of its own
	@for peer in 'datatrove datatrove[io] aiofiles httpx aiosqlite' 'distilabel distilabel[openai] requests' 'data-designer data-designer'; do \
	  set -- $$peer; name=$$1; shift; test -d .venv-peers/$$name || $(PYTHON) -m venv .venv-peers/$$name; \
	  .venv-peers/$$name/bin/pip install -q --disable-pip-version-check $(PIP_ARGS) "$$@" || rm -rf .venv-peers/$$name; done
	$(BIN)/python -m tests.benchmarks.beside --write

clean: ## everything that was made, but runs and dist
	rm -rf .venv .venv-peers build *.egg-info .mypy_cache .ruff_cache .hypothesis .benchmarks

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.base: setup.cfg constraints.txt | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

.venv/.%: setup.cfg constraints.txt | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[$*]'
	@touch $@ .venv/.base
