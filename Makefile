# From a fresh machine (python3 >= 3.11, git, make) to a result in one command: every target sets up its
# virtual environment first, from the locked requirements, and only when these have changed.

PYTHON ?= python3
VENV ?= .venv
SCENARIOS ?= scenarios/
PYTEST_ARGS ?=
UV ?= uv

# Tests start many processes; each would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
LOCK := requirements-dev.lock
DOCKER_POSTGRES := ../shared/tools/docker-postgres

# The stamp's name holds what the environment was made from, so a change of any of it makes the stamp missing.
KEY := $(shell $(PYTHON) -c "import hashlib, os, sys; print(hashlib.sha256(b''.join([open('$(LOCK)', 'rb').read(), open('pyproject.toml', 'rb').read(), repr((sys.version, os.getcwd())).encode()])).hexdigest()[:16])" 2>/dev/null)
READY := $(VENV)/.ready-$(KEY)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install --progress-bar off

define CHECK_PYTHON
import sys
found = "%s is Python %d.%d" % ((sys.executable,) + tuple(sys.version_info[:2]))
if sys.version_info < (3, 11):
    sys.exit("make: %s; pgjobs needs 3.11 or newer. Name one: make PYTHON=python3.13 ..." % found)
try:
    import ensurepip, venv
except ImportError:
    package = "python%d.%d-venv" % tuple(sys.version_info[:2])
    sys.exit("make: %s, which cannot make virtual environments. On Debian and Ubuntu: "
             "apt-get install python3-venv (or %s)" % (found, package))
endef
export CHECK_PYTHON

define FIND_DOCKER
import sys
try:
    import docker
    docker.from_env(timeout=2).ping()
except Exception as error:
    sys.exit("make: no Docker answers (%s: %s). Start one, or run `make test`, which needs none."
             % (type(error).__name__, error))
endef
export FIND_DOCKER

# A venv of the same Python, in the same place, is brought up to date; any other is made anew.
define SET_UP
made="$$($(PYTHON) -c 'import sys; print(sys.version, sys.base_prefix)') $$PWD"
if ! $(BIN)/python -c '' 2>/dev/null || [ "$$(cat $(VENV)/.made-by 2>/dev/null)" != "$$made" ]; then
    echo "make: making $(VENV)" >&2
    $(PYTHON) -m venv --clear $(VENV)
    echo "$$made" >$(VENV)/.made-by
fi
echo "make: installing $(LOCK) into $(VENV)" >&2
$(PIP) --require-hashes --only-binary=:all: --requirement $(LOCK)
$(PIP) --no-deps --no-build-isolation --editable .
rm -f $(VENV)/.ready-*
touch $(READY)
endef
export SET_UP

# Python 3.12 or newer, for the neighbour that needs it; a shim of pyenv counts only if it runs.
define FIND_NEWER_PYTHON
for candidate in $(PYTHON) python3.14 python3.13 python3.12 \
    $$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python 2>/dev/null | sort -rV); do
    if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
        command -v "$$candidate"
        exit
    fi
done
endef
export FIND_NEWER_PYTHON

.PHONY: help ready replay test check test-docker have-docker test-interop interop test-pytest8 test-pooler outage histories ablations plans bench bench-smoke bench-curves gallery lock clean
.DEFAULT_GOAL := help

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1@\2/p' Makefile | while IFS=@ read -r target what; do \
		printf '%-18s %s\n' "$$target" "$$what"; done

$(READY):
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; pgjobs needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python ..." >&2; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@sh -euc "$$SET_UP"

ready: $(READY) ## make the virtual environment, and nothing else

replay: $(READY) ## replay the scenarios, in memory and on PostgreSQL, and compare
	$(BIN)/pgjobs-testing replay $(SCENARIOS)

test: $(READY) ## run the tests; what is skipped is named, with the reason
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

check: $(READY) ## lint, format, types, and which room may import which
	@failed=0; \
	for what in 'ruff check .' 'ruff format --check .' mypy 'lint-imports --no-logo'; do \
		echo "$(BIN)/$$what"; $(BIN)/$$what || failed=1; \
	done; exit $$failed

# What these show of a server, and properties anywhere, `make test` has shown on another.
ON_ANY_SERVER := $(addprefix --ignore=tests/,ablations benchmarks docs plans properties simulation)

test-docker: have-docker ## run the tests that need a server against one in Docker (image: PGJOBS_TEST_IMAGE)
	@set -eu; \
	if [ -z "$${PGJOBS_TEST_IMAGE:-}" ] && [ -x $(DOCKER_POSTGRES) ] && [ "$$(id -u)" = 0 ]; then \
		PGJOBS_TEST_IMAGE=$$($(DOCKER_POSTGRES) | tail -n 1); \
		export PGJOBS_TEST_IMAGE TESTCONTAINERS_RYUK_DISABLED=true; \
	fi; \
	set -x; \
	$(BIN)/python -m pytest -n 2 -m 'docker or (postgres and not hypothesis)' --pgjobs-postgres testcontainers $(ON_ANY_SERVER) \
		$${PGJOBS_TEST_IMAGE:+--pgjobs-image "$$PGJOBS_TEST_IMAGE"} $(PYTEST_ARGS)

# Fails, and says why, where no Docker can be had.
have-docker: $(READY)
	@if [ -x $(DOCKER_POSTGRES) ] && [ "$$(id -u)" = 0 ]; then $(DOCKER_POSTGRES) >/dev/null || true; fi
	@$(BIN)/python -c "$$FIND_DOCKER"

# What these two need more is installed beside the environment, and is on their path alone.
define BESIDE
if [ ! $$beside/.whole -nt $(READY) ] || [ ! $$beside/.whole -nt "$$listed" ]; then
    echo "make: installing $$what into $$beside" >&2
    rm -rf $$beside
    $(PIP) --target $$beside $$what
    touch $$beside/.whole
fi
endef
export BESIDE

test-interop: ## run the tests beside Oban for Python, on a Python >= 3.12
	@found=$$(sh -c "$$FIND_NEWER_PYTHON"); \
	if [ -z "$$found" ]; then \
		echo "make: skipped: Oban for Python needs Python 3.12 or newer, and none is found. Name one: make test-interop PYTHON=/path/to/python"; \
	else \
		version=$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		$(MAKE) --no-print-directory interop PYTHON="$$found" VENV=.venv-$$version; \
	fi

INTEROP := tests/interop/requirements.txt

interop: $(READY)
	@beside=$(VENV)/interop listed=$(INTEROP) what="--requirement $(INTEROP)" sh -euc "$$BESIDE"
	PYTHONPATH=$(abspath $(VENV)/interop) $(BIN)/python -m pytest tests/interop --pgjobs-postgres embedded $(PYTEST_ARGS)

test-pytest8: $(READY) ## run the plugin's own tests under the newest pytest 8
	@beside=$(VENV)/pytest8 listed=pyproject.toml what="$(PYTEST8)" sh -euc "$$BESIDE"
	PYTHONPATH=$(abspath $(VENV)/pytest8) $(BIN)/python -m pytest -n auto $(PLUGIN_TESTS) $(PYTEST_ARGS)

PYTEST8 ?= pytest>=8,<9
PLUGIN_TESTS := tests/testing/test_plugin.py tests/testing/test_plugin_scale.py

test-pooler: $(READY) ## run the live tests through a PgBouncer in transaction mode (installs it as root on Debian)
	$(BIN)/python tests/pooler/run.py $(PYTEST_ARGS)

outage: $(READY) ## stop the server for a minute in the middle of a batch, and count what became of the jobs
	$(BIN)/python -m tests.live.outage --seconds 60

histories: $(READY) ## let processes and threads work, call and be killed for two minutes, and check what they recorded (POOLER=plain: behind a PgBouncer)
	$(BIN)/python -m tests.live.histories --seconds 120 $(if $(POOLER),--pooler $(POOLER))

ablations: $(READY) ## put faults into copies of the engine, and see that each raises its alarm
	$(BIN)/python -m pytest tests/ablations --ablations -n auto $(PYTEST_ARGS)

plans: $(READY) ## explain every statement on tables of 10 million rows (6 GB of memory or disk, ten to twenty minutes)
	$(BIN)/python -m pytest tests/plans --plans-rows 10000000 -k '$(PLANS)' --pgjobs-postgres embedded -o timeout=1800 $(PYTEST_ARGS)

# Statistics are at their worst for small tables, too; these three change with the size.
PLANS ?= never_analysed or analysed_at_rest or nine_tenths_dead

bench: $(READY) ## measure pgjobs, its peers and the limits in turn, and print the table (ROUNDS, PARTS, PEERS, RESULTS)
	$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PARTS),--parts $(PARTS)) \
		$(if $(PEERS),--peers $(PEERS)) $(if $(RESULTS),--results $(RESULTS))

bench-smoke: $(READY) ## count statements, round trips, calls and instructions against benchmarks/smoke/bounds.toml
	PYTHONHASHSEED=0 $(BIN)/python -m benchmarks.smoke $(ONLY) $(if $(RENEW),--renew)

# QUICK=1 measures small sizes once and writes to build/curves; ONLY="growth.idle" measures some of them.
bench-curves: $(READY) ## measure and draw the curves of docs/performance.md (ten minutes; QUICK=1: one or two)
	$(BIN)/python -m benchmarks.curves $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

gallery: $(READY) ## write docs/gallery: what failing tests say, and pictures of timelines
	$(BIN)/python docs/gallery/make.py

lock: ## renew requirements-dev.lock from pyproject.toml (needs uv); UPGRADE=1 takes the newest of everything
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--extra testing --extra cluster --group dev $(if $(UPGRADE),--upgrade) pyproject.toml --output-file $(LOCK)

clean: ## remove the virtual environments, caches and built files
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
