# naas-dr: `make demo` runs the main job on the embedded lab, `make test` passes the tests.

APT := python3-venv postgresql-15 pgbackrest etcd-server etcd-client haproxy redis-server redis-sentinel \
       pgbouncer iproute2 chromium curl procps util-linux restic git age faketime prometheus prometheus-alertmanager \
       prometheus-node-exporter prometheus-postgres-exporter prometheus-redis-exporter systemd
BIN := .venv/bin

.PHONY: setup lock demo down lint test test-long test-second bench-failover bench-loss bench-backup \
        bench-switchover bench-cold bench-drill bench-readiness faults faults-lab faults-flows faults-stores \
        faults-wal faults-drills faults-bits faults-replication faults-watch retention leaks

setup: .venv/installed

# Debian starts what it installs unless policy-rc.d refuses; the lab starts its own servers.
.venv/installed: requirements.txt pyproject.toml Makefile
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(APT) 2>/dev/null | \
	  awk '$$1 == "installed" {have[$$2] = 1} END {n = split("$(APT)", want, " "); \
	       for (i = 1; i <= n; i++) if (!(want[i] in have)) print want[i]}'); \
	if [ -n "$$missing" ]; then infra/lab/install-apt $$missing; fi
	/usr/bin/python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock:
	uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
	  --extra lab --extra dev pyproject.toml -o requirements.txt

demo: setup
	$(BIN)/python -m deployments.demo

down: setup
	$(BIN)/dr lab down

lint: setup
	@twice=$$(find tests -name '*.py' ! -name conftest.py -printf '%f\n' | sort | uniq -d); \
	if [ -n "$$twice" ]; then echo "pytest tells test files apart by name: $$twice"; exit 1; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest --durations=25

# Recoveries from backups, to a moment, every validation and drill with its planted fault, and what else takes long.
test-long: setup
	$(BIN)/pytest -m long

# The recoveries once more with another plan: other sites, other timings, services that need each other.
test-second: setup
	TEST_PLAN=tests/lab/second_plan.yaml $(BIN)/pytest tests/lab/test_recovery.py tests/lab/test_switchover.py

# Long runs, apart from the tests: COUNT runs each, results printed and written below build/.
COUNT ?= 10

bench-failover: setup
	$(BIN)/python tests/bench/bench_failover.py $(COUNT)

bench-loss: setup
	$(BIN)/python tests/bench/bench_loss.py $(COUNT)

# COUNT moves there and back, and as many failovers inside a site.
bench-switchover: setup
	$(BIN)/python tests/bench/bench_switchover.py $(COUNT)

# COUNT recoveries from backups, in rounds of ten minutes.
bench-cold: setup
	ROUNDS=$(COUNT) $(BIN)/python tests/bench/bench_cold.py

# COUNT rounds of a restore drill, and of its reading under load.
bench-drill: setup
	ROUNDS=$(COUNT) $(BIN)/python tests/bench/bench_drill.py

# One cycle over 10, 100 and 1,000 services.
bench-readiness: setup
	$(BIN)/python tests/bench/bench_readiness.py

# Recoveries under faults; SAMPLE and SEED run a repeatable part, STRATEGY, FAULT and MISSING narrow it.
faults: setup
	$(BIN)/python tests/faults/recovery_matrix.py

faults-lab: setup
	$(BIN)/python tests/faults/lab_crash.py

bench-backup: setup
	$(BIN)/python tests/bench/bench_backup.py

# FLOW, SITE, FAULT narrow them; SEED repeats a run.
faults-flows: setup
	$(BIN)/python tests/faults/flow_crashes.py

faults-stores: setup
	$(BIN)/python tests/faults/store_faults.py

faults-wal: setup
	$(BIN)/python tests/faults/wal_faults.py

# HEALTHY drills, then COUNT kills of each kind; KIND and SEED as above.
HEALTHY ?= 50

faults-drills: setup
	HEALTHY=$(HEALTHY) COUNT=$(COUNT) $(BIN)/python tests/faults/drill_faults.py

# KIND and SITE narrow them.
faults-bits: setup
	$(BIN)/python tests/faults/bit_flips.py

faults-replication: setup
	$(BIN)/python tests/faults/replication_faults.py

# Days of simulated noise, and the loss of the site at every phase.
DAYS ?= 20

faults-watch: setup
	$(BIN)/python tests/faults/watch_noise.py $(DAYS)

# A hundred simulated days each.
retention: setup
	$(BIN)/python tests/faults/retention_database.py
	$(BIN)/python tests/faults/retention_files.py
	$(BIN)/python tests/faults/retention_points.py

leaks: setup
	$(BIN)/python tests/faults/secret_leaks.py
