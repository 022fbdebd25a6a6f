# bertd: `make demo` runs it, `make test` tests it, `make check` lints and type-checks it.

PYTHON ?= python3
VENV   ?= .venv
# Torch is installed first and alone, so that no other package can pull in a second build of it.
TORCH  ?= torch==2.13.0
TORCHAO ?= torchao==0.18.0
# What torch's CUDA builds of that version bring themselves.
TRITON ?= triton==3.7.1
# For bench-glue alone, in a folder of its own: transformers would use it elsewhere, too.
ACCELERATE ?= accelerate==1.15.0
# Makes a client of the socket API's document, for a test.
OPENAPI_GENERATOR ?= openapi-python-client==0.29.1
# The trackers that metrics are written for, for their tests.
TRACKERS ?= tensorboard==2.21.0 wandb==0.31.0 mlflow-skinny==3.17.2 trackio==0.43.0
# For tests of preparation on several machines, and for bench-scale.
RAY ?= ray[client]==2.60.0
# Makes a local S3 server and reads from it, for tests.
OBJECT_STORES ?= s3fs moto[server]
BUDGET ?= 2min
# Data set for bench-quality, bench-plan and bench-pretraining, by name or path.
DATA   ?= wiki-books
# GLUE in its official TSV layout, for bench-glue and bench-pretraining.
GLUE   ?= glue
# Cases of fuzz, of each kind.
CASES  ?= 5000
# Where gpu-proof writes, and the minutes it may take.
PROOF  ?= gpu-proof
MINUTES ?= 10

BIN := $(VENV)/bin
# Of the suite.
PROCESSES ?= $(shell expr $$(nproc) + 1)

.PHONY: install demo docs test test-clusters test-long fuzz faults bench-data bench-quality bench-glue bench-pretraining bench-daemon bench-tui bench-plan bench-forecast bench-scale gallery gpu-proof check clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
# Only for its tests, in a separate folder: transformers imports torchao if it finds it, which without a GPU prints
# warnings.
	$(BIN)/pip install --quiet --no-deps --target $(VENV)/apart/site-packages "$(TORCHAO)"
	touch $@

# For its tests alone, which skip without it, and so apart, too; it is large, and a demo need not fetch it.
$(VENV)/.triton: $(VENV)/.installed
	$(BIN)/pip install --quiet --no-deps --upgrade --target $(VENV)/apart/triton "$(TRITON)"
	touch $@

demo: install
	$(BIN)/python -m bertd.demo --budget "$(BUDGET)"

# For their tests alone, which skip without them, and apart: torch and transformers import some where they find them.
$(VENV)/.trackers: $(VENV)/.installed
	$(BIN)/pip install --quiet --upgrade --target $(VENV)/apart/trackers $(TRACKERS) && touch $@ || true

# For its tests and its bench alone, and apart: transformers imports it where it finds it.
$(VENV)/.ray: $(VENV)/.installed
	$(BIN)/pip install --quiet --upgrade --target $(VENV)/apart/ray "$(RAY)" && touch $@ || true

# For a test alone, and apart: they are large.
$(VENV)/.object_stores: $(VENV)/.installed
	$(BIN)/pip install --quiet --upgrade --target $(VENV)/apart/object_stores $(OBJECT_STORES) && touch $@ || true

# One process more than cores: many tests wait for a daemon.
test: install $(VENV)/.triton $(VENV)/.trackers
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile

# On a local Ray cluster and a local S3 server, which `make test` does without: they take minutes to install.
test-clusters: install $(VENV)/.ray $(VENV)/.object_stores
	$(BIN)/python -m pytest tests/clusters tests/data/prepare/test_many_machines.py tests/data/sources/test_remote_files.py -rs

# With what it needs, for one test alone: it brings httpx, which bertd does not use. Without it that test says so and skips.
$(VENV)/.openapi: $(VENV)/.installed
	$(BIN)/pip install --quiet --upgrade --target $(VENV)/apart/openapi "$(OPENAPI_GENERATOR)" && touch $@ || true

# What others send, as the suite sends 200 of: schemathesis' requests, bytes that are no HTTP, and to the dashboard random
# keys at random sizes. An hour on two cores.
fuzz: install
	BERTD_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 14400 \
	    tests/daemon/api/test_fuzzed_requests.py tests/daemon/api/test_hostile_clients.py \
	    tests/tui/test_random_keys.py

# Only the files with such a test: to collect all costs each process half a minute.
test-long: install $(VENV)/.triton $(VENV)/.openapi
	$(BIN)/python -m pytest -n $(PROCESSES) -m "long and not faults" $$(grep -rl --include='*.py' 'mark\.long' tests)

# The long fault suite, one test at a time. Tests that mount disks need root and are otherwise skipped with the reason.
# The timeout is for a test that hangs: a kill loop of a minute takes half an hour on a machine with much other work.
faults: install
	$(BIN)/python -m pytest tests/faults tests/train/distributed/nodes/test_machines.py -m "" -p no:xdist --timeout 5400 -rs

bench-data: install
	$(BIN)/python -m bertd.data.commands.bench

bench-quality: install
	$(BIN)/python -m bertd.bench.quality --data "$(DATA)"

$(VENV)/.accelerate: $(VENV)/.installed
	$(BIN)/pip install --quiet --no-deps --upgrade --target $(VENV)/apart/accelerate "$(ACCELERATE)"
	touch $@

bench-glue: install $(VENV)/.accelerate
	$(BIN)/python -m bertd.bench.glue --data "$(GLUE)"

# With the demo's own task, if there was a demo.
bench-pretraining: install
	$(BIN)/python -m bertd.bench.glue.pretraining --data "$(GLUE)" --shards "$(DATA)" \
	    $(if $(wildcard .demo/data-*/glue),--demo .demo)

# On a machine with little other load: most limits are of wall time.
bench-daemon: install
	$(BIN)/python -m bertd.daemon_bench

# On a machine with little other load: 25 minutes.
bench-plan: install
	$(BIN)/python -m tests.run.plan.bench_plan --data "$(DATA)"

# Sparse files of 300 billion tokens, preparation by several workers, and two machines as network namespaces, which need
# root and are left out without it: ten minutes.
bench-scale: install $(VENV)/.ray
	PYTHONPATH=$(VENV)/apart/ray $(BIN)/python -m bertd.bench.scale

# Ways to forecast a final loss, on the recorded runs of the tests; prints the values that ship.
bench-forecast: install
	$(BIN)/python -m tests.run.forecast.bench_forecast

# On a machine with little other load.
bench-tui: install
	$(BIN)/python -m tests.tui.bench_screen

# Pictures of every view of the dashboard, in docs/gallery. Look at them before you commit them.
gallery: install
	$(BIN)/python -m tests.tui.gallery

gpu-proof: install
	$(BIN)/python -m bertd.prove --out "$(PROOF)" --minutes "$(MINUTES)"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages that are generated: docs/recipe.md and docs/commands.md.
docs: install
	$(BIN)/python -m bertd.cli.reference docs

clean:
	rm -rf $(VENV) .demo build dist
