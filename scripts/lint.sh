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
# Released contracts are promises; before the first release there is none.
release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
[ -z "$release" ] || ./scripts/generate.sh --breaking "$release"
