# `make` alone prints what there is. A line `target: ## text` is its documentation.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME   ?= 5s
BENCH      ?= .
BENCHFLAGS ?= --people 100k
DEMOFLAGS  ?=

# Tools that are fetched when they are needed, at these versions.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

# The version is stamped below, so that a copy without .git builds the same way.
export GOFLAGS ?= -buildvcs=false

.PHONY: help
help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/induct
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/induct ./cmd/induct

.PHONY: demo
demo: build ## build, start a service, upload about 1,000 people, show what became of them
	@bin/induct demo $(DEMOFLAGS)

.PHONY: test
test: tools format vet staticcheck ## everything but the clients that others keep
	$(GO) run $(GOTESTSUM) --format pkgname -- -count=1 -p 2 -timeout 12m ./...

.PHONY: compat
compat: ## clients that others keep, unmodified, against the real binary; those for Node.js if node is there
	cd test/compat && $(GO) vet -tags node ./...
	@if ! command -v npm >/dev/null; then \
		echo "NOT TESTED: the identity libraries for Node.js, because npm is not there (Debian and Ubuntu: apt-get install nodejs npm)"; \
		cd test/compat && $(GO) test -count=1 -timeout 10m ./...; \
	elif ! (cd test/compat/node && npm ci --no-audit --no-fund); then \
		echo "NOT TESTED: the identity libraries for Node.js, because npm could not install them (see above)"; \
		cd test/compat && $(GO) test -count=1 -timeout 10m ./...; \
	else \
		cd test/compat && $(GO) test -tags node -count=1 -timeout 10m ./...; \
	fi

.PHONY: check
check: format vet staticcheck ## the quick form while you work: format, vet, staticcheck, short tests
	$(GO) test -short -p 2 ./...

.PHONY: format
format: ## fail on a file that gofmt would change
	@files=$$(find . -name '*.go' -not -path './.*' -not -path './bin/*' -print0 | xargs -0 -r gofmt -l -s); \
	if [ -n "$$files" ]; then echo "gofmt -s -w these:"; echo "$$files"; exit 1; fi

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck: ## staticcheck, at a pinned version
	$(GO) run $(STATICCHECK) ./...

.PHONY: tools
tools: ## install, or name, what the tests need besides Go: PostgreSQL, what runs the client snippets and what deploy/ is checked by
	@.ci/need curl jq node:nodejs python3 haproxy openssl systemd-analyze:systemd $(firstword $(wildcard /usr/lib/postgresql/*/bin/postgres) postgres):postgresql

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (5s)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file func; do \
		echo "$${file%/*} $${func#func }"; \
		$(GO) test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null; \
	done

.PHONY: bench
bench: build ## measure the service on this machine, see docs/performance.md (BENCHFLAGS: --people 100k)
	bin/induct bench $(BENCHFLAGS)

.PHONY: gobench
gobench: ## run the Go benchmarks that match BENCH (all)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 ./...

.PHONY: cover
cover: ## test coverage by function, and bin/cover.html
	@mkdir -p bin
	$(GO) test -short -p 2 -coverprofile bin/cover.out ./...
	@$(GO) tool cover -html bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func bin/cover.out | tail -1

.PHONY: clean
clean: ## remove bin/ (data directories are yours: they stay)
	rm -rf bin
