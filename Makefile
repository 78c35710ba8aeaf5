# The course's commands; `make` lists them. The work itself is done by `python -m sercore`.

# Without PYTHON=, an environment that is there keeps the interpreter it was made with.
BASE = $(shell .venv/bin/python -c 'import sys; print(sys._base_executable)' 2> /dev/null)
PYTHON = $(if $(wildcard .venv/made-from),$(or $(BASE),python3),python3)
# Only `make course DATA=... PROFILE=...` sets these: a variable of that name which happens to be
# in the environment is not the course's (SER_DATA and SER_PROFILE are).
DATA =
PROFILE =
SIZES =
RETRAIN =
MODELS =
SEEDS =
PROTOCOL =

KERNEL_CONFIG = sercore/data/ipython_kernel_config.py
VENV = .venv
BIN = $(VENV)/bin
# -qq leaves pip's errors. --compile is asked for by name, since PIP_NO_COMPILE would switch it off and every start of
# TensorFlow then takes more than twice as long.
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --compile

help:
	@echo "make course [DATA=DIR] [PROFILE=demo|laptop|article]   run the course into build/course"
	@echo "make test                         run every test: unit tests and notebooks"
	@echo "make lab [DATA=DIR] [PROFILE=...] open the notebooks in JupyterLab"
	@echo "make bench [DATA=DIR] [SIZES=...] measure time and memory beside the article's way"
	@echo "make lint                         check modules and notebooks with ruff"
	@echo "make store DATA=DIR [PROFILE=...] run the notebooks and keep their outputs in notebooks/"
	@echo "make publish DATA=DIR [PROFILE=...] [MODELS=...] [SEEDS=...]   train runs, put them into figures/"
	@echo "    PROTOCOL=article: on the article's own split; replay: with its learning rates, too"
	@echo "make lock                         compile requirements.txt from pyproject.toml"
	@echo "make clean                        remove build, .venv and the tools' caches"
	@echo "course and store take RETRAIN=1: train every model, whether or not there is a run of it."
	@echo "Each takes PYTHON=python3.12 or another of 3.11, 3.12 and 3.13 (default: $(PYTHON))."

course: venv
	@set --; \
	if [ -n "$$DATA" ]; then set -- "$$@" --data "$$DATA"; fi; \
	if [ -n "$$PROFILE" ]; then set -- "$$@" --profile "$$PROFILE"; fi; \
	case "$$RETRAIN" in ""|0) ;; 1) set -- "$$@" --retrain;; *) echo "RETRAIN is 1 or 0, not $$RETRAIN" >&2; exit 2;; esac; \
	exec $(BIN)/python -m sercore course "$$@"

store: venv
	@if [ -z "$$DATA" ]; then echo "make store needs DATA=DIR, the folder of the corpora" >&2; exit 2; fi; \
	set -- --data "$$DATA"; \
	if [ -n "$$PROFILE" ]; then set -- "$$@" --profile "$$PROFILE"; fi; \
	case "$$RETRAIN" in ""|0) ;; 1) set -- "$$@" --retrain;; *) echo "RETRAIN is 1 or 0, not $$RETRAIN" >&2; exit 2;; esac; \
	exec $(BIN)/python -m sercore store "$$@"

publish: venv
	@if [ -z "$$DATA" ]; then echo "make publish needs DATA=DIR, the folder of all four corpora" >&2; exit 2; fi; \
	set -- --data "$$DATA"; \
	if [ -n "$$PROFILE" ]; then set -- "$$@" --profile "$$PROFILE"; fi; \
	if [ -n "$$MODELS" ]; then set -- "$$@" --models $$MODELS; fi; \
	if [ -n "$$SEEDS" ]; then set -- "$$@" --seeds $$SEEDS; fi; \
	if [ -n "$$PROTOCOL" ]; then set -- "$$@" --protocol "$$PROTOCOL"; fi; \
	exec $(BIN)/python -m sercore publish "$$@"

# The repository is the root, so that a chapter can show a picture from figures/. A relative name
# would mean another folder in the notebooks' kernels.
lab: venv
	@if [ -n "$$DATA" ] && [ ! -d "$$DATA" ]; then echo "DATA=$$DATA is no folder" >&2; exit 2; fi; \
	if [ -n "$$DATA" ]; then SER_DATA=$$(cd "$$DATA" && pwd) || exit 1; export SER_DATA; fi; \
	if [ -n "$$PROFILE" ]; then SER_PROFILE=$$PROFILE; export SER_PROFILE; fi; \
	case "$$SER_DATA" in ""|/*) ;; *) SER_DATA=$$PWD/$$SER_DATA; export SER_DATA;; esac; \
	case "$$SER_CACHE" in ""|/*) ;; *) SER_CACHE=$$PWD/$$SER_CACHE; export SER_CACHE;; esac; \
	exec $(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/notebooks

# Two processes, a file of tests or a notebook to each at a time: a kernel stays in one of them.
test: venv
	@$(BIN)/python -m pytest -n 2 --dist loadfile

# SIZES holds options of `python -m benchmarks`, as in SIZES="--clips 300 --growth 1000 12000".
bench: venv
	@set -- $(SIZES); \
	if [ -n "$$DATA" ]; then set -- --data "$$DATA" "$$@"; fi; \
	exec $(BIN)/python -m benchmarks "$$@"

lint: venv
	@$(BIN)/python -m ruff check .

# Without a registry's address in the file, pip asks whichever one its user has configured.
lock: venv
	@$(INSTALL) uv
	@$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	    --python-version 3.11 --extra dev --custom-compile-command "make lock" \
	    pyproject.toml --output-file requirements.txt
	@echo "requirements.txt is up to date with pyproject.toml"

# The features, runs and demo corpora in the user's cache folder (SER_CACHE) stay.
clean:
	rm -rf build $(VENV) .pytest_cache .ruff_cache .hypothesis sercore.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

# The stamp holds what the environment was made from: interpreter, folder, and the files that pip
# reads or copies. It is written last, so that an install that was cut off is done again from the
# start.
venv:
	@command -v "$(PYTHON)" > /dev/null || { \
	    echo "$(PYTHON) was not found: name a Python 3.11, 3.12 or 3.13 with PYTHON=, as in make PYTHON=python3.12 test" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "$$("$(PYTHON)" -V 2>&1) will not do: name a Python 3.11, 3.12 or 3.13 with PYTHON=, as in make PYTHON=python3.12 test" >&2; exit 1; }
	@set -e; \
	made_from=$$("$(PYTHON)" -VV && pwd && cksum requirements.txt pyproject.toml setup.py $(KERNEL_CONFIG)); \
	if [ "$$made_from" != "$$(cat $(VENV)/made-from 2> /dev/null)" ]; then \
	    echo "Installing the course's packages into $(VENV): a few minutes, about 3 GB ..."; \
	    rm -rf $(VENV); \
	    "$(PYTHON)" -m venv $(VENV); \
	    $(INSTALL) --require-hashes -r requirements.txt; \
	    $(INSTALL) --no-deps --no-build-isolation -e .; \
	    printf '%s\n' "$$made_from" > $(VENV)/made-from; \
	fi

.PHONY: help course store publish lab test bench lint lock clean venv
