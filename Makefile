# Nothing needs preparing but Python 3.10 to 3.13: every target first creates .venv when it is missing.
#   make demo                generate shapes, train, evaluate, draw output/demo/report.html
#   make demo ARGS="--help"  the same with options of tools/demo.py
#   make predict IMAGES="…"  nuclei in images and folders, by the model in the box, to output/predictions
#   make web                 the same in a browser, at http://127.0.0.1:7860
#   make test                formatting, lint and all tests, two at a time
#   make test-fast           the tests that take no time, in less than a minute
#   make test-numpy2         all tests on numpy 2, in .venv-numpy2
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
NUMPY2 := 2.4.6
# Empty: the version in requirements.txt. Python 3.13 has no numpy 1.
NUMPY ?= $(shell $(PYTHON) -c "import sys; print('$(NUMPY2)' * (sys.version_info >= (3, 13)))")
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# With another numpy than the pinned one, panopticapi-lite comes without its pin on numpy.
ifeq ($(NUMPY),)
REQUIREMENTS = --requirement requirements.txt
else
REQUIREMENTS = --requirement $(VENV)/requirements.txt && $(PIP) --no-deps panopticapi-lite==0.2.0
endif
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo predict web test test-fast test-numpy2 lint clean

help:
	@sed -n '1,/^PYTHON/{/^#/s/^# \{0,1\}//p}' Makefile

install: $(INSTALLED)

$(INSTALLED): requirements.txt tools/install_detectron2.py
	@$(PYTHON) -c "import sys; sys.exit(None if (3, 10) <= sys.version_info[:2] <= (3, 13) else \
	    'Python 3.10 to 3.13 is needed, this is ' + sys.version.split()[0] + ': make PYTHON=python3.11 …')"
	@echo "==> Installing into $(VENV) with $(PYTHON): requirements.txt, then Detectron2."
	@echo "    PyTorch is large: about 6 GB on disk, a few minutes. This is done once."
	$(PYTHON) -m venv $(VENV)
	sed -e '/^panopticapi-lite/d' -e 's/^numpy==.*/numpy==$(NUMPY)/' requirements.txt > $(VENV)/requirements.txt
	$(PIP) $(REQUIREMENTS)
	$(PY) tools/install_detectron2.py
	$(PIP) --no-deps --no-build-isolation --editable .
	$(if $(NUMPY),,$(PY) -m pip check)
	@touch $@
	@echo "==> $(VENV) is ready."

demo: $(INSTALLED)
	$(PY) tools/demo.py $(ARGS)

predict: $(INSTALLED)
	@$(PY) tools/predict.py $(ARGS) $(IMAGES)

web: $(VENV)/.web
	$(PY) tools/web_demo.py $(ARGS)

$(VENV)/.web: $(INSTALLED)
	$(PY) -m pip freeze | grep -E '^(torch|torchvision|numpy|timm)==' > $(VENV)/constraints.txt
	$(PIP) --constraint $(VENV)/constraints.txt 'gradio>=6'
	@touch $@

lint: $(INSTALLED)
	$(PY) -m ruff format --check
	$(PY) -m ruff check

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist worksteal $(ARGS)

test-fast: $(INSTALLED)
	$(PY) -m pytest -q -m "not slow" $(ARGS)

test-numpy2:
	$(MAKE) test VENV=.venv-numpy2 NUMPY=$(NUMPY2)

clean:
	rm -rf .venv .venv-numpy2 output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
