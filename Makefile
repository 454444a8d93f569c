# dreamlap: `make demo` shows it, `make test` proves it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install demo test bench limits seeds docs scores steadiness real-steps exam speedrun ablations clean

help:            ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed   ## a virtual environment with everything, in .venv

$(VENV)/package: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/installed: $(VENV)/package
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@

demo: $(VENV)/package   ## train a car in its dream and see it drive: eight minutes, and four to choose, score and record it
	$(BIN)/dreamlap run demo

test: install    ## lint, types, all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -n 2 --dist loadfile

docs: install    ## the documentation, strict, into build/docs
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "The first page is build/docs/index.html"

bench: install   ## steps a second of the dream and of the tracks, and how soon V sees, as ratios: some 25 minutes
	$(BIN)/python -m benchmarks.dream
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.track
	$(BIN)/python -m benchmarks.play
	$(BIN)/python -m benchmarks.vision

limits: install  ## what each stage costs and which share of the machine's ceiling it reaches, and docs/limits.md: three minutes
	$(BIN)/python -m benchmarks.limits

seeds: install   ## every system of docs/presets.md, two training seeds each, and docs/seeds.md: an hour for each training
	$(BIN)/python -m benchmarks.seeds

scores:          ## the README's tables of scores, from the raw returns in scores/final
	$(BIN)/python -m benchmarks.scores

steadiness: install   ## train the demo with three seeds in two precisions, and count lost drives: an hour
	$(BIN)/python -m benchmarks.steadiness

real-steps: install   ## the demo with less driving, with and without the autopilot, and docs/real-steps.md: six hours
	$(BIN)/python -m benchmarks.real_steps

exam: install    ## the robustness exam of every agent that is included: ten minutes
	$(BIN)/python -m benchmarks.exam

speedrun: install   ## a row for docs/speedrun.md, the board of times to 900: half an hour, with nothing else running
	$(BIN)/python -m benchmarks.speedrun

ablations: install   ## the sprint with one thing changed at a time, three training seeds each: half a day
	$(BIN)/python -m benchmarks.ablations

clean:           ## remove the virtual environment; runs stay
	rm -rf $(VENV)
