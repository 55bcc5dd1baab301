# `make` alone lists what there is. Every target does its own set-up, and is quick the second time.

# The interpreter to use, if it is not to be the distribution's.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
# How many of the system tests' files run at once, each with guests of its own: they wait most of the time.
BEDS ?= 2

MAY_WRITE = @[ -w . ] || { \
	echo "make: nothing can be written to $(CURDIR); run make in a copy of it" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help run test lint unit system matrix soak bench deb man pictures clean machine

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/run ## one round of real samples as a table, from the local hypervisor or libvirt's test driver
	@$(BIN)/domstats sample --connect qemu:///system || { \
		echo "make: no local hypervisor can be sampled; these are not real guests:" >&2; \
		$(BIN)/domstats sample --connect test:///default; }

test: machine lint unit system ## everything that CI checks

lint: $(VENV)/test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(VENV)/test ## the tests that need no server and no guest, and those against the simulated libvirtd
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/system

system: machine $(VENV)/test ## the tests with real libvirtd, guests, collectd, Telegraf, InfluxDB, Prometheus and Graphite
	$(BIN)/pytest --numprocesses $(BEDS) --dist loadfile tests/system

matrix: machine ## tests in Debian 11, 12, 13 and sid, each with its own libvirt: make matrix SUITES="bullseye sid"
	python3 -m tests.matrix $(if $(RECORD),--record) $(SUITES)

soak: $(VENV)/test ## hundreds of rounds against a simulated host of thousands of domains, some 20 minutes
	$(BIN)/python -m tests.simhost.soak

bench: machine $(VENV)/test ## rounds measured beside collectd virt, Telegraf inputs.libvirt and virsh
	$(BIN)/python -m bench

deb: $(VENV)/run ## Debian packages in dist/deb, for this machine's release or another: make deb SUITE=bullseye
	$(BIN)/python packaging/debian/build.py $(SUITE)

man: $(VENV)/run ## docs/man/domstats.1 from the texts of --help
	$(BIN)/python -m domstats.cli.man_pages > docs/man/domstats.1

pictures: machine $(VENV)/test ## docs/pictures: a screen of domstats top, a graph by graphite-web, five minutes
	$(BIN)/python -m tests.pictures

clean: ## remove what make has made
	rm -rf $(VENV) .build build dist plugin/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov

# The stamps: an environment that can run the package, and one that can test it.
$(VENV)/run: setup.cfg
	$(MAY_WRITE)
	@python=$$(PYTHON="$(PYTHON)" tests/system/install run) && "$$python" -m venv --system-site-packages $(VENV)
	$(BIN)/python tests/environment.py
	@touch $@

$(VENV)/test: $(VENV)/run
	$(BIN)/python tests/environment.py test top
	@touch $@

# What the system tests start: packages of the distribution, and a Telegraf built here.
machine:
	$(MAY_WRITE)
	@tests/system/install test
