package command

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
)

// submitted returns the spec that a command line makes.
func submitted(t *testing.T, w *world, line string) *xferv1.TransferSpec {
	t.Helper()
	if w.api == nil {
		w.api = &fake{}
	}
	if r := w.run(t, line+" --detach"); r.code != 0 {
		t.Fatalf("%s: %+v", line, r)
	}
	return w.api.spec
}

func TestFlagsBecomeASpec(t *testing.T) {
	// Nothing that was not asked for is in the spec, so that the same command
	// is the same request.
	plain := submitted(t, &world{}, "cp n1:/a/dir n2:/b/dir")
	want := client.Copy("n1", "/a/dir", "n2", "/b/dir")
	if !proto.Equal(plain, want) {
		t.Errorf("%v\n%v", plain, want)
	}
	for line, want := range map[string]string{
		"cp -r n1:/a/dir n2:/b/":                                                                 "destination: {path: /b, mode: INTO_DIR}\nsources: [{path: {path: /a/dir}}]",
		"cp n1:/a/dir/ n2:/b/":                                                                   "destination: {path: /b, mode: EXACT}\nsources: [{path: {path: /a/dir, contents: true}}]",
		"cp n1:/a n1:/c/ n2:/b/":                                                                 "destination: {path: /b, mode: INTO_DIR}\nsources: [{path: {path: /a}}, {path: {path: /c, contents: true}}]",
		"sync n1:/a/dir/ n2:/b/":                                                                 "mode: SYNC\ndestination: {path: /b, mode: EXACT}\nsources: [{path: {path: /a/dir, contents: true}}]",
		"sync --delete --max-delete 0 n1:/a/dir/ n2:/b/":                                         "mode: SYNC\ndelete: true\nmax_delete: 0\ndestination: {path: /b, mode: EXACT}\nsources: [{path: {path: /a/dir, contents: true}}]",
		"cp -a n1:/a/dir n2:/b/dir":                                                              "preserve: {properties: [MODE, TIMES, SYMLINKS, HARDLINKS, SPARSE, OWNER, XATTRS, ACLS]}",
		"cp -a --preserve=no-owner,+specials n1:/a/dir n2:/b/dir":                                "preserve: {properties: [MODE, TIMES, SYMLINKS, HARDLINKS, SPARSE, XATTRS, ACLS, SPECIALS]}",
		"cp --preserve=none n1:/a/dir n2:/b/dir":                                                 "preserve: {}",
		"cp --checksum -u -L -x n1:/a/dir n2:/b/dir":                                             "compare: checksum\nupdate: true\nfollow_symlinks: true\none_file_system: true",
		"cp --size-only --no-clobber n1:/a/dir n2:/b/dir":                                        "compare: size\nno_clobber: true",
		"cp --verify media --durability none --transport rdma n1:/a/dir n2:/b/dir":               "verify: media\ndurability: none\ntransport: rdma",
		"cp --encrypt required --streams 8 --chunk-size 16MiB n1:/a/dir n2:/b/dir":               "encryption: required\nstreams: 8\nchunk_size: 16777216",
		"cp --bwlimit 4Gbit --priority low --deadline 2026-03-01T18:00:00Z n1:/a/dir n2:/b/dir":  "max_bytes_per_second: 500000000\npriority: low\ndeadline: 2026-03-01T18:00:00Z",
		"cp --label a=1 --label b=x=y --chown 7:8 --chmod D755 --chmod F644 n1:/a/dir n2:/b/dir": "labels: {a: \"1\", b: x=y}\nchown_uid: 7\nchown_gid: 8\nchmod: D755,F644",
		"cp --chown :0 --force n1:/a/dir n2:/b/dir":                                              "chown_gid: 0\nforce: true",
		"cp --include keep.o --exclude *.o --exclude-from - n1:/a/dir n2:/b/dir":                 "filters: [{include: true, pattern: keep.o}, {include: false, pattern: '*.o'}, {pattern: x/y}, {pattern: '2'}]",
		"cp --files-from - -0 n1:/a/dir n2:/b/dir":                                               "files_from: [\"x/y\\n2\\n\"]",
		"cp --files-from - n1:/a/dir n2:/b/dir":                                                  "files_from: [x/y, \"2\"]",
	} {
		got := submitted(t, &world{stdin: "x/y\n2\n"}, line)
		spec := client.Copy("n1", "/a/dir", "n2", "/b/dir")
		fill(t, spec, want)
		if !proto.Equal(got, spec) {
			t.Errorf("%s\n%v\n%v", line, got, spec)
		}
	}
}

func fill(t *testing.T, spec *xferv1.TransferSpec, text string) {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if m["destination"] != nil {
		spec.Destination = nil
	}
	if m["sources"] != nil {
		spec.Sources, spec.Mode = nil, spec.GetMode()
	}
	if err := record.Fill(spec, m); err != nil {
		t.Fatal(err)
	}
}

func TestLocalPathsGetTheirNode(t *testing.T) {
	w := &world{api: &fake{nodes: []*xferv1.Node{{Name: "nodes/n0"}, {Name: "nodes/n7", OwnReport: true}}}}
	spec := submitted(t, w, "cp ./model n7:/x /y n2:/b/")
	if spec.GetSourceNode() != "n7" || string(spec.GetSources()[0].GetPath().GetPath()) != "/home/u/model" || string(spec.GetSources()[2].GetPath().GetPath()) != "/y" {
		t.Errorf("%v", spec)
	}
	if r := w.run(t, "cp /x n0:/y n2:/b/"); r.code != 2 || !strings.Contains(r.err, "on n7 and on n0") {
		t.Errorf("%+v", r)
	}
	w.api.nodes = w.api.nodes[:1]
	if r := w.run(t, "cp /x n2:/b/"); r.code != 1 || !strings.Contains(r.err, "does not say which node it is") {
		t.Errorf("%+v", r)
	}
}

func TestSubmitFile(t *testing.T) {
	want := client.Copy("n1", "/a/dir", "n2", "/b/dir")
	want.Verify = xferv1.Verify_VERIFY_STORE
	for _, text := range []string{
		"from: n1:/a/dir\nto: n2:/b/dir\nverify: store\n",
		"spec: {from: [n1:/a/dir], to: n2:/b/dir, verify: store}\n",
		`{"spec": {"mode": "COPY", "source_node": "n1", "sources": [{"path": {"path": "/a/dir"}}], "target_node": "n2", "destination": {"path": "/b/dir", "mode": "EXACT"}, "verify": "STORE"}}`,
	} {
		w := &world{api: &fake{}, stdin: text}
		r := w.run(t, "submit -f -")
		w.api.spec.Mode = xferv1.Mode_MODE_COPY
		if r.code != 0 || r.out != "nodes/n1/transfers/new\n" || !proto.Equal(w.api.spec, want) {
			t.Errorf("%s\n%+v\n%v", text, r, w.api.spec)
		}
	}
	w := &world{api: &fake{}, stdin: "transfer_id: nightly\nspec: {mode: sync, from: n1:/a/, to: n2:/b/}"}
	if r := w.run(t, "submit -f -"); r.out != "nodes/n1/transfers/nightly\n" || w.api.spec.GetMode() != xferv1.Mode_MODE_SYNC {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]string{
		"":                                   "no spec in it",
		"- a":                                "line|mapping|unmarshal",
		"from: n1:/a":                        "must be text",
		"from: n1:/a\nto: /b":                "has no node",
		"from: 3\nto: n2:/b":                 "must be text",
		"from: ./a\nto: n2:/b":               "has no node",
		"from: [n1:/a, n1:/b]\nto: n2:/c":    "ends in a slash",
		"mode: sync\nfrom: n1:/a\nto: n2:/b": "xferctl sync",
		"mode: sync\nfrom: [n1:/a/, n1:/b/]\nto: n2:/b/": "one source",
		"spec: 3":                              "spec: must be a mapping",
		"spec: {from: n1:/a, to: n2:/b, x: 1}": "spec.x: there is no such field",
		"from: n1:/a\nto: n2:/b\nx: 1":         "-: x: there is no such field",
	} {
		r := (&world{api: &fake{}, stdin: text}).run(t, "submit -f -")
		found := false
		for part := range strings.SplitSeq(want, "|") {
			found = found || strings.Contains(r.err, part)
		}
		if r.code != 2 || !found {
			t.Errorf("%q: %+v", text, r)
		}
	}
}
