# `make` alone lists what there is. Every target does its own set-up, and is quick the second time.

# The interpreter to use, if it is not to be the distribution's.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/tools
# How many files of the system tests run at once, each with guests of its own: they mostly wait.
BEDS ?= 2

MAY_WRITE = @[ -w . ] || { \
	echo "make: nothing can be written to $(CURDIR); run make in a copy of it" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help run test lint unit system audit soak bench dist bundle rpm release ranges pins man pictures deb matrix clean machine

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/run ## one round of real samples as a table, from the local hypervisor or libvirt's test driver
	@$(BIN)/domstats sample --connect qemu:///system || { \
		echo "make: no local hypervisor can be sampled; these are not real guests:" >&2; \
		$(BIN)/domstats sample --connect test:///default; }

test: SUITES ?= bullseye sid
test: machine lint audit unit system matrix ## everything that CI checks

lint: $(VENV)/test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(VENV)/test ## the tests that need no server and no guest, and those against the simulated libvirtd
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/system

system: machine $(VENV)/test ## the tests with real libvirtd, guests, collectd, Telegraf, InfluxDB, Prometheus and Graphite
	$(BIN)/pytest --numprocesses $(BEDS) --dist loadfile tests/system

audit: $(VENV)/test $(TOOLS)/pip-audit ## known vulnerabilities in what the bundle has
	$(BIN)/python -m release.audit $(TOOLS)/bin/pip-audit

matrix: machine ## tests in Debian 11, 12, 13 and sid, each with its own libvirt: make matrix SUITES="bullseye sid"
	python3 -m tests.matrix $(if $(RECORD),--record) $(SUITES)

soak: $(VENV)/test ## hundreds of rounds against a simulated host of thousands of domains, some 20 minutes
	$(BIN)/python -m tests.simhost.soak

bench: machine $(VENV)/test ## rounds measured beside collectd virt, Telegraf inputs.libvirt and virsh
	$(BIN)/python -m bench

dist: $(VENV)/test ## wheel and source distribution in dist/
	$(BIN)/python -m release.dist

# Another one: make bundle FOR='--python 3.9 --machine aarch64'
bundle: $(VENV)/test ## everything for this Python and machine in one file, to be installed without a network
	$(BIN)/python -m release.bundle $(FOR)

rpm: $(VENV)/test ## RPM packages for RHEL 9 in dist/rpm/; for RHEL 10: make rpm FOR='--python 3.12'
	$(BIN)/python -m release.rpm $(FOR)

release: $(VENV)/test $(TOOLS)/pip-audit ## dist and bundle, if nothing in them is known to be vulnerable
	$(BIN)/python -m release.audit $(TOOLS)/bin/pip-audit --strict
	$(BIN)/python -m release.dist
	$(BIN)/python -m release.bundle $(FOR)

ranges: $(VENV)/test $(TOOLS)/uv ## unit tests with the oldest and the newest versions that setup.cfg allows
	$(BIN)/python -m release.ranges $(TOOLS)/bin/uv $(PYTHON)

pins: $(VENV)/test $(TOOLS)/uv ## constraints.txt and the bundle's requirements, with the newest versions
	$(BIN)/python -m release.pins $(TOOLS)/bin/uv

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

$(VENV)/test: $(VENV)/run constraints.txt
	$(BIN)/python tests/environment.py test top
	@touch $@

# What maintainers run beside the package: each in an environment apart from it. What cannot be had
# (no network) is said by who needs it.
$(TOOLS)/%: | $(VENV)/run
	@[ -x $(TOOLS)/bin/python ] || $(BIN)/python -m venv $(TOOLS)
	-$(TOOLS)/bin/python -m pip --quiet --disable-pip-version-check install $* && touch $@

# What the system tests start: packages of the distribution, and a Telegraf built here.
machine:
	$(MAY_WRITE)
	@tests/system/install test
