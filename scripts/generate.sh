#!/bin/sh
# Regenerates the Go code of api/*/v1 from the .proto files, after linting them.
#
#   scripts/generate.sh                  write
#   scripts/generate.sh --check          write nothing; fail where the committed
#                                        code is not what the .proto files give
#   scripts/generate.sh --breaking REF   also compare with git commit REF, or with
#                                        the baseline of that file name, whose
#                                        clients and nodes must keep working
#   scripts/generate.sh --baseline FILE  write the .proto files as they are now to
#                                        that file, and nothing else
#
# protoc-gen-go comes from the version of google.golang.org/protobuf that the
# main module uses, so that generator and runtime can not part; buf and
# protoc-gen-go-grpc are pinned in tools/go.mod. Nothing is fetched but Go
# modules.
set -eu
cd "$(dirname "$0")/.."

check=
against=
baseline=
case "${1-}" in
'') ;;
--check) check=1 ;;
--breaking) against=${2:?--breaking needs a git commit} ;;
--baseline) baseline=${2:?--baseline needs the name of a file} ;;
*)
	echo "usage: $0 [--check | --breaking REF | --baseline FILE]" >&2
	exit 2
	;;
esac

mkdir -p .tools
echo "*" >.tools/.gitignore
export GOFLAGS="-mod=readonly -buildvcs=false"
(cd tools && go build -o ../.tools/ github.com/bufbuild/buf/cmd/buf google.golang.org/grpc/cmd/protoc-gen-go-grpc)
go build -o .tools/ google.golang.org/protobuf/cmd/protoc-gen-go

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT INT TERM
export BUF_CACHE_DIR="$out/cache"

.tools/buf lint
.tools/buf format --exit-code --diff
if [ -n "$baseline" ]; then
	.tools/buf build --exclude-source-info --as-file-descriptor-set -o "$out/baseline.binpb"
	cp "$out/baseline.binpb" "$baseline"
	exit
fi
if [ -f "$against" ]; then
	.tools/buf breaking --against "$against"
elif [ -n "$against" ]; then
	git archive "$against" -- buf.yaml api | (mkdir "$out/old" && tar -x -C "$out/old")
	.tools/buf breaking --against "$out/old"
fi

.tools/buf generate --output "$out"
status=0
for d in peer xfer; do
	for f in "$out/api/$d/v1"/*.pb.go; do
		[ -e "$f" ] || continue
		g=api/$d/v1/$(basename "$f")
		if [ -z "$check" ]; then
			cmp -s "$f" "$g" || cp "$f" "$g"
		elif ! cmp -s "$f" "$g"; then
			echo "$g is not what its .proto gives: run scripts/generate.sh" >&2
			status=1
		fi
	done
	for g in api/$d/v1/*.pb.go; do # of a .proto that is gone
		if [ ! -e "$g" ] || [ -e "$out/$g" ]; then continue; fi
		if [ -z "$check" ]; then
			rm "$g"
		else
			echo "$g has no .proto any more: run scripts/generate.sh" >&2
			status=1
		fi
	done
done
exit $status
