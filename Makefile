# Nothing needs preparing but Python 3.11: every target first creates .venv when it is missing.
#   make demo                generate shapes, train, evaluate, draw output/demo/report.html
#   make demo ARGS="--help"  the same with options of tools/demo.py
#   make test                formatting, lint and all tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean

help:
	@sed -n '1,/^PYTHON/{/^#/s/^# \{0,1\}//p}' Makefile

install: $(INSTALLED)

$(INSTALLED): requirements.txt tools/install_detectron2.py
	@echo "==> Installing into $(VENV) with $(PYTHON): requirements.txt, then Detectron2."
	@echo "    PyTorch is large: about 6 GB on disk, a few minutes. This is done once."
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(PY) tools/install_detectron2.py
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(PY) -m pip check
	@touch $@
	@echo "==> $(VENV) is ready."

demo: $(INSTALLED)
	$(PY) tools/demo.py $(ARGS)

lint: $(INSTALLED)
	$(PY) -m ruff format --check
	$(PY) -m ruff check

test: lint
	$(PY) -m pytest -q $(ARGS)

clean:
	rm -rf $(VENV) output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
