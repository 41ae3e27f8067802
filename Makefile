# `make` runs the default study and `make test` the tests; both first set up what they need.

VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: study test soak test-slurm test-gpu bench verify audit lint lock browser slurm

study: $(VENV)/run.ready
	$(BIN)/snakemake

# What reads the finished smoke study beside all else, since neither fills two cores; the former speaks at the end
test: $(VENV)/dev.ready browser
	@said=$$(mktemp); \
	$(BIN)/python -m pytest -m smoke >$$said 2>&1 & smoke=$$!; \
	$(BIN)/python -m pytest -m "not smoke"; code=$$?; \
	wait $$smoke || code=$$?; cat $$said; rm $$said; exit $$code

# Kills and hostile configs, SOAK times as many as `make test` has
SOAK ?= 10
soak: $(VENV)/dev.ready
	SOAK=$(SOAK) $(BIN)/python -m pytest tests/workflow/test_kills.py tests/workflow/test_hostile_configs.py

# Drives small studies through a Slurm that it installs and starts here, and stops again: as root on Debian or Ubuntu
test-slurm: $(VENV)/dev.ready slurm
	$(BIN)/python -m pytest tests/slurm

# Needs a GPU: kills a run on it, and trains a large one
test-gpu: $(VENV)/dev.ready
	PYTHONPATH=tests/unit $(BIN)/python -m pytest -s tests/gpu

# Measures the training engine beside transformers' GPT-2, a development dependency, where the time of the
# default study goes, which it runs from nothing in a scratch folder, and how often the intervals of fits hold
bench: $(VENV)/dev.ready
	$(BIN)/python workflow/scripts/bench.py

# Checks every file of the results folder against the checksum it was written with
RESULTS ?= results
verify: $(VENV)/run.ready
	$(BIN)/python workflow/scripts/verify.py --results $(RESULTS)

# Asks the Python Packaging Advisory Database for known holes in what the locks, and envs/setup.sh, install; what it
# cannot look up fails too
audit: $(VENV)-audit/ready
	@sed -n 's/^torch=.*\(torch==[0-9.]*\)}$$/\1/p' envs/setup.sh > $(VENV)-audit/torch.txt
	@for list in "--require-hashes -r envs/run.lock" "--require-hashes -r envs/dev.lock" \
	        "--require-hashes -r envs/audit.lock" "--no-deps -r $(VENV)-audit/torch.txt"; do \
	    echo "$${list#* -r }"; $(VENV)-audit/bin/pip-audit --strict --disable-pip $$list || failed=1; done; exit $${failed:-0}

lint: $(VENV)/dev.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# Writes the locks anew from envs/*.in: newest versions, with hashes, for every platform and Python
lock: $(VENV)/dev.ready
	cd envs && for name in run dev audit; do \
	    ../$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
	        --python-version 3.11 $$name.in --output-file $$name.lock || exit 1; done

$(VENV)/run.ready: envs/run.lock envs/setup.sh
	envs/setup.sh $(VENV) envs/run.lock
	@touch $@

$(VENV)/dev.ready: envs/dev.lock $(VENV)/run.ready
	envs/setup.sh $(VENV) envs/dev.lock
	@touch $@

# Apart, so that what looks for holes brings none to what trains
$(VENV)-audit/ready: envs/audit.lock
	$${PYTHON:-python3} -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r envs/audit.lock
	@touch $@

# The page's tests open it in headless Chromium, which is a package of the system
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium chromium-driver >/dev/null; \
	    else echo "install Chromium and its driver: apt-get install chromium chromium-driver" >&2; exit 1; fi; }

# Debian starts no Slurm without a config, and the tests' own lies in a folder of theirs
slurm:
	@command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends munge slurmctld slurmd slurm-client >/dev/null; \
	    else echo "install Slurm: apt-get install munge slurmctld slurmd slurm-client; its daemons are started as root" >&2; exit 1; fi; }
