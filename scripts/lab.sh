#!/usr/bin/env bash
# The RDMA suites on real devices, in virtual machines (docs/lab.md). Prints one
# line for each test, and what was measured; on failure everything. Where the lab
# cannot run it says why, and with XFER_REQUIRE_RIGS=1 that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
$go build -o bin/lab ./test/lab/cmd/lab
if ! ./bin/lab -check; then
	[ "${XFER_REQUIRE_RIGS:-}" != 1 ] || exit 1
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! XFER_LAB=1 $go test -v -count=1 -timeout 30m -run "${1:-^TestLab}" ./test/e2e >"$log" 2>&1; then
	cat "$log"
	exit 1
fi
grep -E '^ *--- (PASS|SKIP): TestLab|the device sent|on the wire|fall-back .* after|^ok' "$log"
