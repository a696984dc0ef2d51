# All commands for people. Set-up calls only Python, so it runs on a bare machine.
PYTHON ?= python3
UV ?= uv
DOCKER ?= docker
BIN := .venv/bin
ARGS ?=
CODE := agent config llm_router deploy tests bench

.DEFAULT_GOAL := help
.PHONY: help setup dev demo install-frontend frontend shell test check bench lock up down logs restart build clean digests keys docs sbom audit \
	check-lint check-format check-types check-imports check-page test-page test-live test-voice test-chart test-clients fuzz

help: ## show this list
	@$(PYTHON) -c 'import re; [print(f"  make {name:<18}{what}") for name, what in \
	re.findall(r"(?m)^([a-z-]+):.*## (.+)", open("Makefile").read())]'

setup: ## make everything ready: packages, speech models, LiveKit server, web page
	@$(PYTHON) -m deploy.setup

dev: ## set-up for development: linters, types and tests as well
	@$(PYTHON) -m deploy.setup speech dev

demo: ## set up and start everything, to talk to it in the browser; VOICE=espeak downloads less, PHONE=1 adds a telephone
	@$(PYTHON) -m deploy.demo $(ARGS)

install-frontend: ## install the window of `make frontend`
	@$(PYTHON) -m deploy.setup venv terminal

frontend: ## chat with the router in the terminal, and see its endpoints; ARGS="--model desk"
	@$(BIN)/llm-router chat $(ARGS)

shell: setup ## open a shell in which llm-router and python are those of .venv
	@echo "llm-router --help lists the commands; exit leaves"
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec "$${SHELL:-/bin/sh}"

CALLS := tests/calls tests/attacks/calls
DEATHS := tests/calls/test_dead_process.py

test: setup dev ## run the tests; ARGS="-k breaker" to choose
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -n auto --dist worksteal $(addprefix --ignore ,$(CALLS) tests/voice tests/phone)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(CALLS) --ignore $(DEATHS) # each process has a stack of its own
	$(BIN)/python -m pytest $(DEATHS) # alone: agents are missed within seconds
	$(BIN)/python -m pytest tests/voice # alone: a busy machine would be audible in the calls
	$(BIN)/python -m pytest tests/phone # the same, with telephones
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-live: setup dev ## the tests that need real model engines: 15 minutes to build them, once; then 25
	@$(PYTHON) -m deploy.setup engines
	$(BIN)/python -m pytest tests/live -m "live or not live" $(ARGS)

test-voice: setup dev ## every call of the tests, also those that repeat what others show: 15 minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not live" $(CALLS) --ignore $(DEATHS) $(ARGS)
	$(BIN)/python -m pytest -m "not live" $(DEATHS) $(ARGS)
	$(BIN)/python -m pytest -m "not live" tests/voice $(ARGS)
	$(BIN)/python -m pytest -m "not live" tests/phone $(ARGS)
	$(BIN)/python -m pytest -m thorough tests/contracts tests/terminal tests/docs $(ARGS) # needs tmux and promtool

test-chart: setup dev ## the Helm chart, rendered and checked; the first time it builds helm, in 2 minutes
	$(BIN)/python -m pytest -m thorough tests/chart $(ARGS)

test-clients: setup dev ## other people's clients and suites against /v1, each in an environment of its own
	$(BIN)/python -m pytest tests/clients -m live $(ARGS)

fuzz: dev ## a hundred thousand random replies to the parsers, ten thousand random calls: some minutes
	FUZZ_TIMES=40 SIMULATION_SCHEDULES=10000 $(BIN)/python -m pytest -n auto --dist worksteal --timeout 1200 \
	tests/attacks/test_bytes_at_random.py tests/scenarios/test_simulation.py

test-page: ## run the web page's own tests
	@$(PYTHON) -m deploy.page run test

check: ## style, types, imports, side by side
	@$(MAKE) --no-print-directory --keep-going -j 4 $(if $(filter output-sync,$(.FEATURES)),--output-sync) \
	check-types check-lint check-format check-imports check-page

docs: setup ## build the site of docs/, with a reference of settings, commands and routes, in site/html
	@$(PYTHON) -m deploy.docs_site

sbom: ## list every package, with its version and licence, in sbom/ (CycloneDX)
	@$(PYTHON) -m deploy.audit sbom

audit: ## compare the locked packages with OSV's advisories; ADVISORIES=all.zip without a network
	@$(PYTHON) -m deploy.audit advisories

check-lint:
	$(BIN)/ruff check .

check-format:
	$(BIN)/ruff format --check .

check-types:
	$(BIN)/mypy $(wildcard $(CODE))

check-imports:
	$(BIN)/lint-imports

check-page:
	@$(PYTHON) -m deploy.page run check

bench: ## measure: each package of bench/ prints its table
	@set -e; for bench in $(patsubst bench/%/__main__.py,%,$(wildcard bench/*/__main__.py)); do \
	echo "bench.$$bench"; $(BIN)/python -m "bench.$$bench" $(ARGS); done

COMPILE = $(UV) pip compile --quiet --no-emit-package patchbay-router --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

lock: ## renew the lock files (needs uv); ARGS="--upgrade" for newer versions
	$(COMPILE) $(ARGS) pyproject.toml deploy/locks/build.in --extra embedded \
	--output-file requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml deploy/locks/build.in --extra embedded --extra neural \
	--constraint requirements.lock --output-file requirements-neural.lock
	$(COMPILE) $(ARGS) pyproject.toml deploy/locks/build.in --extra embedded --extra terminal \
	--constraint requirements-neural.lock --output-file requirements-terminal.lock
	$(COMPILE) $(ARGS) pyproject.toml deploy/locks/build.in --extra embedded --extra terminal --group dev \
	--constraint requirements-neural.lock --constraint requirements-terminal.lock --output-file requirements-dev.lock
	$(COMPILE) $(ARGS) deploy/locks/go.in --output-file deploy/locks/go.lock
	$(COMPILE) $(ARGS) deploy/locks/node.in --output-file deploy/locks/node.lock
	$(COMPILE) $(ARGS) deploy/locks/llama-cpp.in --output-file deploy/locks/llama-cpp.lock
	$(COMPILE) $(ARGS) deploy/locks/llama-cpp-python.in --output-file deploy/locks/llama-cpp-python.lock
	$(COMPILE) $(ARGS) deploy/locks/llama-cpp-python-build.in --output-file deploy/locks/llama-cpp-python-build.lock
	$(COMPILE) $(ARGS) deploy/locks/llama-cpp-suite.in --output-file deploy/locks/llama-cpp-suite.lock
	$(COMPILE) $(ARGS) deploy/locks/vllm.in --override deploy/locks/vllm.overrides \
	--output-file deploy/locks/vllm.lock
	$(COMPILE) $(ARGS) deploy/locks/llm-comply.in --output-file deploy/locks/llm-comply.lock
	$(COMPILE) $(ARGS) deploy/locks/kubernetes-validate.in --output-file deploy/locks/kubernetes-validate.lock
	$(COMPILE) $(ARGS) deploy/locks/langchain.in --output-file deploy/locks/langchain.lock
	$(COMPILE) $(ARGS) deploy/locks/llama-index.in --output-file deploy/locks/llama-index.lock
	$(COMPILE) $(ARGS) deploy/locks/aider.in --output-file deploy/locks/aider.lock
	$(COMPILE) $(ARGS) deploy/locks/litellm.in --output-file deploy/locks/litellm.lock
	$(COMPILE) $(ARGS) deploy/locks/litellm-client.in --output-file deploy/locks/litellm-client.lock
	$(COMPILE) $(ARGS) deploy/locks/litellm-proxy.in --output-file deploy/locks/litellm-proxy.lock
	$(COMPILE) $(ARGS) deploy/locks/docs.in --output-file deploy/locks/docs.lock
	$(COMPILE) $(ARGS) deploy/locks/audit.in --output-file deploy/locks/audit.lock
	$(COMPILE) $(ARGS) deploy/locks/moto.in --output-file deploy/locks/moto.lock
	$(COMPILE) $(ARGS) deploy/locks/pydantic-ai.in --output-file deploy/locks/pydantic-ai.lock

# The stack in containers. PROFILES="ollama scale" adds services, which the others then use.
EVERYTHING = $(DOCKER) compose --profile "*"
CONTAINERS = DOCKER=$(DOCKER) $(PYTHON) -m deploy.containers

keys: ## print a fresh LiveKit key and secret for .env
	@$(PYTHON) -c 'import secrets; print("LIVEKIT_API_KEY=patchbay-" + secrets.token_hex(4)); \
	print("LIVEKIT_API_SECRET=" + secrets.token_urlsafe(32))'

build: ## build the container images
	@$(CONTAINERS) build $(PROFILES)

up: ## build and start the containers, wait until they are healthy; PROFILES="ollama scale" for more
	@$(CONTAINERS) up $(PROFILES)

down: ## stop the containers, keep their data
	$(EVERYTHING) down

restart: ## restart the containers
	@$(CONTAINERS) restart $(PROFILES)

logs: ## follow the containers' logs
	@$(CONTAINERS) logs $(PROFILES)

digests: ## pin the container images by the digests that their registries name now
	@DOCKER=$(DOCKER) $(PYTHON) -m deploy.digests

clean: ## remove the containers, their images and their data
	$(EVERYTHING) down --volumes --remove-orphans --rmi local
