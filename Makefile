# Everything a developer or an operator of the source tree runs. `make help`
# lists it. On a Debian machine, as root, the targets install what they need;
# elsewhere they name it (make deps).

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -X github.com/xferd/xferd/cmd/internal/version.version=$(VERSION)

.PHONY: help build man demo test test-full test-lab test-faults test-nocgo lint generate check-generate baseline bench million lab deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/xferd and bin/xferctl
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/xferd ./cmd/xferd
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/xferctl ./cmd/xferctl

man: build ## write the manual pages to bin/man1, bin/man5 and bin/man8
	./bin/xferctl man --dir bin/man1
	./bin/xferd man --dir bin --example deploy/xferd.yaml

demo: build ## a three-node cluster on this machine copies a real tree and proves it equal
	./scripts/demo.sh

deps: ## install what tests and benchmarks use (Debian, as root), or name it
	./scripts/deps.sh

# Cgo is for the calls of libibverbs; without it the net and os/user of the standard
# library differ too. So test runs without it what rests on these, to be over in
# time; test-full runs everything.
NOCGO = ./rdma/... ./transport/... ./cmd/... ./internal/hostnet ./internal/trust ./cluster

test: ## everything that fits into 15 minutes on 2 cores
	./scripts/deps.sh test
	$(GO) test -race -shuffle=on -timeout 14m ./...
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 $(GO) test $(NOCGO)
	CGO_ENABLED=0 $(GO) test -run '^(TestP9NoRDMA|TestProgramsNeedNoVerbs)$$' ./test/e2e
	@$(MAKE) --no-print-directory test-lab

# The kernel of the lab beside Debian's own; empty to leave it out.
OTHER_KERNEL ?= 6.12
SOAK ?= 10m
test-full: test test-nocgo ## all of test, all without cgo, the examples in full size, the RDMA suites on kernel 6.12, and a soak of RDMA (SOAK=10m)
	XFER_EXAMPLES_MIB=1024 $(GO) test -v -count=1 -timeout 10m -run '^TestExampleParamserver$$' ./test/e2e
ifneq ($(OTHER_KERNEL),)
	XFER_LAB_KERNEL=$(OTHER_KERNEL) GO=$(GO) ./scripts/lab.sh
endif
	XFER_LAB=1 XFER_SOAK=$(SOAK) $(GO) test -v -count=1 -timeout 0 -run '^TestLabSoak$$' ./transport/verbs

test-lab: ## the RDMA suites on SoftRoCE, in virtual machines (part of test)
	./scripts/deps.sh lab
	GO=$(GO) ./scripts/lab.sh

test-faults: ## kill nodes, cut their power and spoil their network, at every step of transfers (part of test: a sample of it)
	./scripts/deps.sh test
	$(GO) test -v -count=1 -timeout 60m ./test/faults -faults.full
	$(GO) test -v -count=1 -timeout 30m ./test/faults/nemesis -nemesis.time=5m
	$(GO) test -v -count=1 -run 'EveryStateOfTheLifecycle' ./transfer/lifecycle -explore.all

test-nocgo: ## the whole suite without cgo (part of test-full)
	CGO_ENABLED=0 $(GO) test -timeout 20m ./...

lint: ## vet, staticcheck, formatting, protos
	./scripts/lint.sh

generate: ## regenerate api/*/v1 from the protos
	./scripts/generate.sh

check-generate: ## fail where the generated code differs from the protos
	./scripts/generate.sh --check

baseline: ## at a release: what the protos promise from now on
	./scripts/generate.sh --baseline api/baseline.binpb

bench: build ## side by side with rsync, scp, rclone, cp, tar and a raw floor
	./scripts/deps.sh bench
	$(GO) run ./test/bench

bench-rdma: ## xferd's RDMA side by side with ib_write_bw, in one virtual machine
	./scripts/deps.sh lab
	$(GO) run ./test/rdmabench

million: build ## memory of the daemons for a tree of a million entries
	$(GO) run ./test/bench -only million

# make lab                     the lab's own tests
# make lab PKG=./some/package  that package's tests, inside the lab
# make lab CMD='rdma link'     a command, inside the lab
# LABFLAGS='-vms 2' and others: bin/lab -h
lab: ## run tests or a command on real RDMA devices in virtual machines (docs/lab.md)
	./scripts/deps.sh lab
ifneq ($(CMD)$(PKG),)
	@$(GO) build -o bin/lab ./test/lab/cmd/lab
	@./bin/lab $(LABFLAGS) $(if $(PKG),-pkg $(PKG) -- -test.v,-- sh -c '$(value CMD)')
else
	XFER_LAB=1 $(GO) test -race -count=1 -timeout 10m ./test/lab/...
endif

clean: ## remove what the build made
	rm -rf bin
