# hapsync: `make` lists what there is.

GO            ?= go
GOLANGCI_LINT ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT    ?= github.com/rhysd/actionlint/cmd/actionlint@v1.7.9
NFPM          ?= github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
ARCHES        ?= amd64 arm64
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TESTFLAGS     ?= -count=1 -timeout=60m -parallel=8
BENCHFLAGS    ?= -benchtime=1x -timeout=60m
FUZZTIME      ?= 10s
ARGS          ?=

# The HAProxy binaries that the tests run on, separated by colons.
HAPROXY_BINARIES ?= haproxy
export HAPROXY_BINARIES

# Debian keeps haproxy and nginx where the PATH of a plain user does not look.
export PATH := $(PATH):/usr/sbin:/sbin

# docker-compose 1.29, or the plugin of docker.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
compose_test = $(COMPOSE) -p hapsync-test
compose_down = $(compose_test) --profile cluster --profile two-balancers --profile docker down -v --remove-orphans -t 5 >/dev/null 2>&1

build_flags = -trimpath -ldflags '-X main.version=$(VERSION)'

# The toolchain of go.mod, which ends known holes of the standard library, or a newer one that is here. Where it cannot be
# fetched, the one that is here. `make GOTOOLCHAIN=local build` does not ask.
ifneq ($(filter-out help clean deps,$(MAKECMDGOALS)),)
GOTOOLCHAIN := $(shell GOTOOLCHAIN=auto timeout 300 $(GO) version >/dev/null 2>&1 && echo auto || echo local)
ifeq ($(GOTOOLCHAIN) $(MAKELEVEL),local 0)
$(info make: the $(shell sed -n 's/^toolchain //p' go.mod) of go.mod cannot be fetched: building with the Go that is here)
endif
export GOTOOLCHAIN
endif

.PHONY: help build demo test race lint fmt e2e e2e-net bench fuzz compose-demo compose-test package package-test release docs man vuln ci deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/hapsync and bin/hapsync-demo
	$(GO) build $(build_flags) -o bin/hapsync ./cmd/hapsync
	$(GO) build $(build_flags) -o bin/hapsync-demo ./cmd/hapsync-demo

demo: deps build ## etcd, HAProxy and three web servers on this machine, and a tour (ARGS=--exit: end after it)
	@bin/hapsync-demo $(ARGS)

# The tests of e2e take longest: they begin first.
test: deps ## every test, those against real etcd, HAProxy and nginx included
	$(GO) test $(TESTFLAGS) ./e2e ./...
	@[ "$$HAPSYNC_TESTS" = full ] || echo "test: long storms and kills were shortened, of long tables every third case was tried, and the tests of jumping clocks were left out: HAPSYNC_TESTS=full runs all of it"
	@echo "test: tried on HAPROXY_BINARIES=$$HAPROXY_BINARIES; what none of these can do was left out (spare backends take HAProxy 3.0 to 3.3, domains that come without a reload 3.4)"
	@docker info >/dev/null 2>&1 || echo "test: the tests of containers were left out: no Docker engine answers (docker info)"
	@[ "$$(id -u)" -eq 0 ] || echo "test: tests of a full disk, of owners of files and of network namespaces were left out: they take root"
	@echo "test: not among them: the network of several hosts (make e2e-net, as root) and docker-compose.yml (make compose-test)"

race: deps ## every test under the race detector (needs a C compiler)
	$(GO) test -race $(TESTFLAGS) ./...

e2e: deps ## only the tests that run the binary from outside
	$(GO) test $(TESTFLAGS) -v ./e2e/...

e2e-net: deps ## the tests of a network of several hosts, each in a network namespace (needs root)
	@if ! unshare --net true 2>/dev/null; then \
		echo "e2e-net: network namespaces cannot be made here (unshare --net true; it takes root): nothing is tested"; [ "$$CI" != true ]; exit; \
	fi; \
	HAPSYNC_NETNS=true $(GO) test $(TESTFLAGS) -v ./e2e/netns

bench: deps ## the benchmarks; their figures go into docs/performance.md (BENCHFLAGS=...)
	HAPSYNC_BENCH_DOCS=true $(GO) test -run='^$$' -bench=. $(BENCHFLAGS) ./...

fuzz: ## each fuzz target for a short while (FUZZTIME=10s)
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list='^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

lint: ## gofmt, go vet, go mod tidy, golangci-lint and actionlint; changes nothing
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change (make fmt):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) run $(GOLANGCI_LINT) run
	$(GO) run $(ACTIONLINT)

fmt: ## format the code
	$(GO) run $(GOLANGCI_LINT) fmt

compose-demo: ## docker-compose.yml: brings it up, shows what it does, leaves it up
	@COMPOSE='$(COMPOSE)' VERSION='$(VERSION)' sh e2e/compose/demo.sh

compose-test: ## the tests of docker-compose.yml (needs a Docker engine)
	@if ! docker info >/dev/null 2>&1; then \
		echo "compose-test: no Docker engine answers (docker info): nothing is tested"; [ "$$CI" != true ]; exit; \
	fi; \
	$(compose_down); trap '$(compose_down)' EXIT; \
	trap 'exit 130' INT TERM; \
	HAPSYNC_COMPOSE='$(compose_test)' $(GO) test -count=1 -timeout=30m -v ./e2e/compose

package_build = GO='$(GO)' NFPM='$(NFPM)' packaging/build
package release: export VERSION := $(VERSION)
package release: export ARCHES := $(ARCHES)

package: ## .deb, .rpm and .apk in bin/dist (ARCHES="amd64 arm64")
	$(package_build) bin/dist deb rpm apk

release: ## packages, archives, SBOMs and checksums in bin/dist
	rm -rf bin/dist
	$(package_build) bin/dist deb rpm apk archive sbom

package-test: ## install, upgrade and remove the packages in Debian with systemd, and try the examples (needs root and a Docker engine)
	@if ! docker info >/dev/null 2>&1; then \
		echo "package-test: no Docker engine answers (docker info): nothing is tested"; [ "$$CI" != true ]; exit; \
	fi; \
	rm -rf bin/test-v0.0.1 bin/test-v0.0.2; \
	ARCHES=amd64 VERSION=v0.0.1 $(package_build) bin/test-v0.0.1 deb || exit; \
	ARCHES='amd64 arm64' VERSION=v0.0.2 $(package_build) bin/test-v0.0.2 deb rpm apk sbom || exit; \
	HAPSYNC_PACKAGES=$(CURDIR)/bin/test-v0.0.1:$(CURDIR)/bin/test-v0.0.2 $(GO) test -count=1 -timeout=30m -v ./e2e/packages

vuln: build ## known holes in the program and its libraries (needs the module proxy)
	@.ci/vuln bin/hapsync

# The tests of e2e run the program from outside: -race would see nothing of it.
ci: deps lint build vuln ## what a change must pass: lint, build, vuln, the demo on each HAProxy, every test, those of packages with -race, e2e-net, compose-test, package-test
	@IFS=:; for haproxy in $$HAPROXY_BINARIES; do \
		echo "bin/hapsync-demo --exit --haproxy $$haproxy"; \
		tour=$$(bin/hapsync-demo --exit --haproxy "$$haproxy" 2>&1) || { echo "$$tour"; exit 1; }; \
	done
	$(GO) test -race $(TESTFLAGS) -parallel=4 $$($(GO) list ./... | grep -v /e2e)
	HAPSYNC_TESTS=$${HAPSYNC_TESTS:-full} HAPROXY_BINARIES=$${E2E_BINARIES:-$$HAPROXY_BINARIES} $(GO) test $(TESTFLAGS) -parallel=4 ./e2e
	$(MAKE) e2e-net TESTFLAGS='$(TESTFLAGS) -parallel=4'
	$(MAKE) compose-test
	$(MAKE) package-test

deps: ## install haproxy, nginx, etcdctl, curl, ip, iptables, promtool and chromium with apt-get where they are missing
	@sh .ci/deps

docs: ## write docs/reference from the program
	$(GO) run ./cmd/hapsync docs docs/reference

man: build ## build the man pages into bin/man
	@mkdir -p bin/man
	bin/hapsync docs --man bin/man

clean: ## remove what build made
	rm -rf bin
