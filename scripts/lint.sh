#!/usr/bin/env bash
# All checks that need no run of the code. The rules of the house (imports,
# package comments, path syscalls) are Go tests in test/house and run with the
# tests.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	printf 'gofmt would change:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go tool -modfile=tools/go.mod staticcheck ./...
CGO_ENABLED=0 GOOS=darwin go vet ./cmd/xferctl ./api/client
./scripts/generate.sh --check
# Nodes and clients of the newest release must keep working with this tree. Where
# no tag is there (before the first release, in a shallow clone) the baseline stands
# for it; make baseline writes it.
release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
./scripts/generate.sh --breaking "${release:-api/baseline.binpb}"
