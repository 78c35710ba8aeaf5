# The course's commands; `make` lists them. The work itself is done by `python -m sercore`.

# Without PYTHON=, an environment that is there keeps the interpreter it was made with.
BASE := $(shell .venv/bin/python -c 'import sys; print(sys._base_executable)' 2> /dev/null)
PYTHON = $(or $(BASE),python3)
# Only `make course DATA=... PROFILE=...` sets these: a variable of that name which happens to be
# in the environment is not the course's (SER_DATA and SER_PROFILE are).
DATA =
PROFILE =
SIZES =
RETRAIN =
MODELS =
SEEDS =
PROTOCOL =

BIN = .venv/bin

help:
	@echo "make course [DATA=DIR] [PROFILE=demo|laptop|article]   run the course into build/course"
	@echo "make test                         run every test: unit tests, examples, notebooks"
	@echo "make lab [DATA=DIR] [PROFILE=...] open your copy of the chapters in JupyterLab"
	@echo "make bench [DATA=DIR] [SIZES=...] measure time and memory beside the article's way"
	@echo "make lint                         check style (ruff) and types (mypy)"
	@echo "make store DATA=DIR [PROFILE=...] run the notebooks and keep their outputs in notebooks/"
	@echo "make publish DATA=DIR [PROFILE=...] [MODELS=...] [SEEDS=...]   train runs, put them into figures/"
	@echo "    PROTOCOL=article: on the article's own split; replay: with its learning rates, too;"
	@echo "    honest, speaker, corpus: nothing chosen on test; new speakers; a corpus left out"
	@echo "make lock                         compile requirements.txt from pyproject.toml"
	@echo "make clean                        remove build, .venv and the tools' caches; work/ stays"
	@echo "course and store take RETRAIN=1: train every model, whether or not there is a run of it."
	@echo "Each takes PYTHON=python3.12 or another of 3.11, 3.12 and 3.13 (default: $(PYTHON))."

# What is handed on. The shell quotes "$$DATA", so that a folder's name may hold anything.
OPTIONS = set --; \
	if [ -n "$$DATA" ]; then set -- --data "$$DATA"; fi; \
	if [ -n "$$PROFILE" ]; then set -- "$$@" --profile "$$PROFILE"; fi
RETRAINING = case "$$RETRAIN" in ""|0) ;; 1) set -- "$$@" --retrain;; *) echo "RETRAIN is 1 or 0, not $$RETRAIN" >&2; exit 2;; esac

course: venv
	@$(OPTIONS); $(RETRAINING); exec $(BIN)/python -m sercore course "$$@"

lab: venv
	@$(OPTIONS); exec $(BIN)/python -m sercore lab "$$@"

store: data venv
	@$(OPTIONS); $(RETRAINING); exec $(BIN)/python -m sercore store "$$@"

publish: data venv
	@$(OPTIONS); \
	if [ -n "$$MODELS" ]; then set -- "$$@" --models $$MODELS; fi; \
	if [ -n "$$SEEDS" ]; then set -- "$$@" --seeds $$SEEDS; fi; \
	if [ -n "$$PROTOCOL" ]; then set -- "$$@" --protocol "$$PROTOCOL"; fi; \
	exec $(BIN)/python -m sercore publish "$$@"

# Two processes, a file of tests, a module's examples or a notebook to each at a time: a kernel
# stays in one of them.
test: venv
	@$(BIN)/python -m pytest -n 2 --dist loadfile

# SIZES holds options of `python -m benchmarks`, as in SIZES="--clips 300 --growth 1000 12000".
bench: venv
	@set -- $(SIZES); \
	if [ -n "$$DATA" ]; then set -- --data "$$DATA" "$$@"; fi; \
	exec $(BIN)/python -m benchmarks "$$@"

lint: venv
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

# Without a registry's address in the file, pip asks whichever one its user has configured.
lock: venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	@$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	    --python-version 3.11 --extra dev --custom-compile-command "make lock" \
	    pyproject.toml --output-file requirements.txt
	@echo "requirements.txt is up to date with pyproject.toml"

# The features, runs and demo corpora in the user's cache folder (SER_CACHE) stay.
clean:
	rm -rf build .venv .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis sercore.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -path ./work -prune -o -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

# install.py does nothing as long as .venv was made by this interpreter from these files. Its first
# line asks whether there is such an interpreter, because the shell would only say "not found".
venv:
	@command -v "$(PYTHON)" > /dev/null || { \
	    echo "$(PYTHON) was not found: name a Python 3.11, 3.12 or 3.13 with PYTHON=, as in make PYTHON=python3.12 test" >&2; exit 1; }
	@"$(PYTHON)" install.py --quiet

# Asked before an install of minutes.
data:
	@if [ -z "$$DATA" ]; then echo "make $(MAKECMDGOALS) needs DATA=DIR, the folder of the corpora" >&2; exit 2; fi

.PHONY: data help course store publish lab test bench lint lock clean venv
