# make demo       install quadpred into .venv and predict examples/
# make test       install what the tests need, then lint, check types, run all tests
# make help       list every target
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most modules of PyTorch and Ray are never imported, so none is compiled in advance.
PIP := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
# Files of tests run in parallel; those of a file share their fixtures. Tests wait for servers and
# browsers a third of their time, so there is one process more than cores.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest --numprocesses $(PROCESSES) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo lint page format types test-fast test coverage docs models bench clean

help: ## list every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## predict examples/ and write their tag-grams to out/
	$(BIN)/quadpred predict examples/*.ogg -o out/
	@echo "Tag-grams: $(CURDIR)/out/*.png"

lint: $(VENV)/.dev ## check style, spelling and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports

page: ## check the page's code, where npm is installed
	@if command -v npm >/dev/null; \
	then $(MAKE) --no-print-directory node_modules/.installed && npm run --silent check; \
	else echo "npm is not installed: the code of the page is not checked"; fi

format: $(VENV)/.dev ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

test-fast: $(VENV)/.dev ## run the fast tests
	$(PYTEST) -m "not slow"

test: lint page types ## run everything that CI runs on one Python version
	$(PYTEST)

coverage: $(VENV)/.dev ## run all tests, fail if coverage falls below the gate
	$(PYTEST) --cov --cov-report=term --cov-report=html:out/coverage

docs: $(VENV)/.docs ## build the site into out/docs, fail on any warning
	$(BIN)/sphinx-build -W --keep-going -b html docs out/docs
	@echo "Site: $(CURDIR)/out/docs/index.html"

models: $(VENV)/.dev ## train and release all bundled models: make models DATA=... RUNS=... FETCHED=... NETWORKS=...
	@test -n "$(DATA)" -a -n "$(RUNS)" -a -n "$(FETCHED)" -a -n "$(NETWORKS)" || \
	{ echo "usage: make models DATA=FOLDER RUNS=FOLDER FETCHED=FOLDER NETWORKS=FOLDER"; exit 2; }
	$(PIP) -r experiments/requirements.txt
	$(BIN)/python -m experiments.release_encoders $(DATA) $(RUNS)
	$(BIN)/python -m experiments.data.free_music $(RUNS)/audio/free
	$(BIN)/python -m experiments.prepare audio $(DATA) $(RUNS) --fetched $(FETCHED)
	$(BIN)/python -m experiments.teachers $(NETWORKS) $(DATA) $(RUNS)
	$(BIN)/python -m experiments.prepare teachers $(RUNS)
	for speech in english mandarin mixed; do for music in english mandarin; do \
	    scored=0,1,2,3,4; case $$speech-$$music in m*-english) scored=0;; esac; \
	    for folds in $$scored ""; do $(BIN)/python -m experiments.train_models $(DATA) $(RUNS) \
	        --speech $$speech --music $$music --folds "$$folds" || exit; done; \
	done; done
	for speech in english mandarin mixed; do \
	    $(BIN)/python -m experiments.fuse $(DATA) $(RUNS) --speech $$speech || exit; done
	$(BIN)/python -m experiments.evaluate $(RUNS)/english-key $(DATA) -o experiments/results/english.json
	for speech in english mandarin mixed; do for music in english mandarin; do \
	    $(BIN)/python -m experiments.release $(DATA) $(RUNS) --speech $$speech --music $$music || exit; \
	done; done
	$(BIN)/python -m experiments.tables

bench: $(VENV)/.dev ## measure speed and memory of quadpred
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/web.py

clean: ## remove .venv and out
	rm -rf $(VENV) out

# pip reads [dependency-groups] since 25.1; a new environment may hold an older one.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[beets,parquet,tags,train,web]" --group dev
	@touch $@ $(VENV)/.installed

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable . --group docs
	@touch $@ $(VENV)/.installed

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-fund --no-audit
	@touch $@
