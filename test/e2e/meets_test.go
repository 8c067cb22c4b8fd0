package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two nodes reach one file system, as by NFS: what goes from one to the other is the
// same directory, or lies in it, and no number of the kernel tells. Nothing of the
// source may go.
func TestP5NodesShareAFileSystem(t *testing.T) {
	t.Parallel()
	common := newDir(t)
	c, _ := useFarm(t, 2, "--export", common+":rw")
	src := filepath.Join(common, "src")
	tree := newTree(t, src)
	tree.file("a/f", 10)
	tree.file("g", 5)
	tree.file("tmp/h", 5)
	before := must(survey(common, nil))(t)
	for _, tt := range []struct{ args, reason string }{
		{"sync --delete n1:TOP/ n2:TOP/src/", "DEST_INSIDE_SOURCE"},
		{"sync --delete n1:TOP/ n2:TOP/src/new/", "DEST_INSIDE_SOURCE"},
		{"sync --delete n1:TOP/src/ n2:TOP/", "SAME_FILE"},
		{"sync --delete n1:TOP/src/a/ n2:TOP/", "SAME_FILE"},
		{"sync --delete n1:TOP/src/ n2:TOP/src/", "SAME_FILE"},
		{"cp n1:TOP/src n2:TOP/src", "SAME_FILE"},
		{"cp n1:TOP/src n2:TOP/src/a/", "DEST_INSIDE_SOURCE"},
		{"cp --force n1:TOP/src/a/f n2:TOP/src/a", "SAME_FILE"},
	} {
		r := c.run(t, strings.Fields(strings.ReplaceAll(tt.args, "TOP", common))...)
		if r.code != 2 || !strings.Contains(r.stderr, "("+tt.reason+")") {
			t.Errorf("%s: exit %d, want 2 for %s\n%s", tt.args, r.code, tt.reason, r.stderr)
		}
	}
	if after := must(survey(common, nil))(t); len(after) != len(before) {
		t.Errorf("there were %d names, and are %d", len(before), len(after))
	}
	// Beside each other they are as any two directories are.
	dst := filepath.Join(common, "dst")
	for range 2 {
		c.ok(t, "sync", "--delete", "n1:"+src+"/", "n2:"+dst+"/")
		equal(t, src, dst)
		if err := os.WriteFile(filepath.Join(dst, "extra"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list := must(temps(common))(t); len(list) != 0 {
		t.Errorf("%q stay", list)
	}
}
