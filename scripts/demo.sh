#!/usr/bin/env bash
# Starts a three-node cluster on this machine, copies a real tree of at least
# 10,000 files and one file of 1 GiB from node to node, and proves both equal
# with sha256sum. It needs no root, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin

need=4 # GiB: the tree and the file, twice, and some air
dir=
for base in "${TMPDIR:-}" /tmp /dev/shm "$PWD"; do
	[ -n "$base" ] && [ -w "$base" ] || continue
	if [ "$(df -Pk "$base" | awk 'NR==2{print $4}')" -gt $((need << 20)) ]; then
		dir=$(mktemp -d "$base/xferd-demo.XXXXXX")
		break
	fi
done
[ -n "$dir" ] || {
	echo "demo: no directory with ${need} GiB free; set TMPDIR to one" >&2
	exit 1
}
pid=
cleanup() {
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	chmod -R u+w "$dir" && rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "== three nodes"
: >"$dir/dev.log"
"$bin/xferd" dev --nodes 3 --dir "$dir/cluster" >"$dir/dev.log" 2>&1 &
pid=$!
for _ in $(seq 100); do
	grep -q '^ready' "$dir/dev.log" && break
	kill -0 "$pid" 2>/dev/null || {
		cat "$dir/dev.log" >&2
		exit 1
	}
	sleep 0.1
done
grep -q '^ready' "$dir/dev.log" || {
	cat "$dir/dev.log" >&2
	exit 1
}
cat "$dir/dev.log"
XFERCTL_SERVER=$(awk '/^server/{print $2}' "$dir/dev.log")
export XFERCTL_SERVER
from=$dir/cluster/n1/data to=$dir/cluster/n2/data

echo "== a tree to copy"
goroot=$("${GO:-go}" env GOROOT)
mkdir "$from/tree"
cp -RL "$goroot/." "$from/tree/" 2>/dev/null || true
files=$(find "$from/tree" -type f | wc -l)
if [ "$files" -lt 10000 ]; then
	# A trimmed installation: make up the rest.
	for d in $(seq 100); do
		mkdir -p "$from/tree/made/$d"
		for f in $(seq 100); do
			head -c $((d * f + 1)) /dev/zero >"$from/tree/made/$d/$f"
		done
	done
	files=$(find "$from/tree" -type f | wc -l)
fi
head -c 1073741824 /dev/urandom >"$from/one-gib"
echo "$files files, $(du -sh "$from/tree" | cut -f1), and one file of 1 GiB"

echo "== xferctl nodes"
"$bin/xferctl" nodes
echo "== xferctl cp n1:$from/tree n1:$from/one-gib n2:$to/"
"$bin/xferctl" cp -P "n1:$from/tree" "n1:$from/one-gib" "n2:$to/"

echo "== proof"
digests() { (cd "$1" && find tree one-gib -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
digests "$from" >"$dir/from.sha256"
digests "$to" >"$dir/to.sha256"
if ! cmp -s "$dir/from.sha256" "$dir/to.sha256"; then
	echo "the copies differ:" >&2
	diff "$dir/from.sha256" "$dir/to.sha256" | head >&2
	exit 1
fi
echo "$(wc -l <"$dir/from.sha256") files have equal SHA-256 digests on n1 and n2"

echo "== the same command again moves no data"
"$bin/xferctl" cp "n1:$from/tree" "n1:$from/one-gib" "n2:$to/"
