# Two commands do everything: `make demo` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint .ci/constraints.txt
# The folders under the names that they are installed by: mypy and import-linter read no mapping.
LINKS := $(VENV)/src
# make test EXTRAS=train,test,dicom,rtx also tries the graphs on TensorRT-RTX (90 MB, NVIDIA's licence).
EXTRAS ?= train,test,dicom
# Threads that wait let others work: on a busy machine spinning ones take several times as long.
export OMP_WAIT_POLICY ?= passive
NUMERICAL := $(addprefix tests/training/test_,training_processes.py training_loop.py losses.py \
  network.py resnet.py step.py stages.py graphs.py half_precision.py denoiser_training.py) \
  $(addprefix tests/unit/test_,shipped_bundle.py denoise_shipped.py denoise_network.py detector.py)

.PHONY: help demo demo-pacs test test-fast test-numerics check format bench faults fuzz mutants decoders openapi sbom audit clean

help:
	@echo "make demo    set up, read a sample pair, write demo/report.html"
	@echo "make demo-pacs  a phantom exam, read, and what is made of it in an Orthanc of its own"
	@echo "make test    set up, check the code, run every test"
	@echo "make test-fast     what takes a minute: no browser, no training, nothing marked slow"
	@echo "make test-numerics what computes with torch and onnxruntime, under two instruction sets"
	@echo "make check   format, lint, types, import directions, Python 3.6 of engines/"
	@echo "make format  put the code in form"
	@echo "make bench   milliseconds a stage on this machine"
	@echo "make faults  kill -9 under load, 200 times; 1000 pairs without a pause (half an hour)"
	@echo "make fuzz    100 000 damaged files, 5000 requests, token files, messages (twenty minutes)"
	@echo "make mutants the code without each of its safeguards: do the tests notice? (half an hour)"
	@echo "make decoders  our DICOM pixels beside DCMTK's, GDCM's and Pillow's: docs/decoders.md"
	@echo "make openapi renew docs/openapi.json"
	@echo "make sbom    sbom.json: what is on the device; make audit: is any of it known to be unsafe"
	@echo "make clean   remove the environment and what the targets made"

demo: $(VENV)/.runtime
	$(BIN)/mammosono demo

test: check
	$(BIN)/pytest

test-fast: $(VENV)/.test
	$(BIN)/pytest -n 2 -m 'not browser and not training and not slow'

demo-pacs: $(VENV)/.test
	cd tests/node && ../../$(BIN)/python demo_pacs.py

# docs/numerics.md; `make test` has run them under what this machine has.
test-numerics: $(VENV)/.test
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/pytest $(NUMERICAL)
	ONEDNN_MAX_CPU_ISA=AVX512_CORE OMP_NUM_THREADS=4 $(BIN)/pytest $(NUMERICAL)

check: $(VENV)/.test $(LINKS)/mammosono
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	PYTHONPATH=$(LINKS) $(BIN)/lint-imports --no-cache
	$(BIN)/vermin --quiet --target=3.6- --no-tips --eval-annotations --violations engines

format: $(VENV)/.test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.test
	$(BIN)/mammosono-tools bench

faults: $(VENV)/.test
	cd tests && ../$(BIN)/python -m faults
	cd tests && ../$(BIN)/python -m faults --rounds 40 --max-age 5 --pairs 0
	$(BIN)/pytest tests/service/test_faults_disk.py

fuzz: $(VENV)/.test
	cd tests && ../$(BIN)/python -m fuzz --count 100000 --posts 1000

mutants: $(VENV)/.test
	cd tests && ../$(BIN)/python -m mutants

decoders: $(VENV)/.test
	cd tests && ../$(BIN)/python -m decoders > ../$(VENV)/decoders.md
	mv $(VENV)/decoders.md docs/decoders.md

openapi: $(VENV)/.test
	$(BIN)/python tests/openapi_snapshot.py

# What is on the device, as CycloneDX; and whether any of it is known to be vulnerable.
.venv-device/.done: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv-device
	.venv-device/bin/pip install --quiet --constraint .ci/constraints.txt --editable .
	touch $@

.venv-audit/.done:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet cyclonedx-bom==7.5.0 pip-audit==2.10.1
	touch $@

sbom: .venv-device/.done .venv-audit/.done
	.venv-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file sbom.json .venv-device

audit: .venv-device/.done .venv-audit/.done
	.venv-audit/bin/pip-audit --strict --skip-editable --progress-spinner off --path \
	  $$(.venv-device/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf $(VENV) .venv-device .venv-audit sbom.json demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is older than 3.10; run make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(LINKS)/mammosono: | $(BIN)/python
	mkdir -p $@
	ln -sfn $(CURDIR)/appliance $(CURDIR)/engines $(CURDIR)/tools $(CURDIR)/appliance/api/__init__.py $(CURDIR)/appliance/api/py.typed $@/

$(VENV)/.runtime: pyproject.toml .ci/constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.test: pyproject.toml .ci/constraints.txt | $(BIN)/python
	$(PIP) --editable '.[$(EXTRAS)]'
	touch $(VENV)/.runtime $@
