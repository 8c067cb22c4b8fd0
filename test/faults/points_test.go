package faults

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// points are the names of all failpoints, each of one place in the code. Plans
// name them, so they stay.
var points = []string{
	"lifecycle/attempt",
	"lifecycle/edge-over",
	"lifecycle/finishing",
	"lifecycle/note",
	"lifecycle/result",
	"lifecycle/step",
	"lifecycle/stepped",
	"lifecycle/submit",
	"lifecycle/submitted",
	"receiver/adopt",
	"receiver/adopt-renamed",
	"receiver/adopted",
	"receiver/all-renamed",
	"receiver/base-made",
	"receiver/batch",
	"receiver/committed",
	"receiver/committing",
	"receiver/complete",
	"receiver/delete",
	"receiver/deleted",
	"receiver/deleted-one",
	"receiver/dir-made",
	"receiver/dir-meta",
	"receiver/dir-removed",
	"receiver/dirs-synced",
	"receiver/empty-created",
	"receiver/end",
	"receiver/end-settle",
	"receiver/end-unlock",
	"receiver/end-unlocked",
	"receiver/files-synced",
	"receiver/filled",
	"receiver/finish",
	"receiver/gave-way",
	"receiver/landed",
	"receiver/linked",
	"receiver/marked",
	"receiver/mkdir",
	"receiver/partial-forget",
	"receiver/partial-unlinked",
	"receiver/placed",
	"receiver/recover-indexed",
	"receiver/recover-temp",
	"receiver/recovered",
	"receiver/rename",
	"receiver/renamed",
	"receiver/reported",
	"receiver/small-create",
	"receiver/small-created",
	"receiver/small-filled",
	"receiver/temp-created",
	"receiver/temp-recorded",
	"receiver/temp-voided",
	"sender/entries",
	"sender/entry-done",
	"sender/finish",
	"sender/finish-sent",
	"sender/opened",
	"sender/scanned",
	"store/append",
	"store/appended",
	"store/commit",
	"store/committed",
	"store/file-renamed",
	"store/file-synced",
	"store/log-begun",
	"store/log-created",
	"store/logs-removed",
	"store/logs-renamed",
	"store/sync",
	"store/synced",
}

// TestPointsAreListed finds the calls in the source tree.
func TestPointsAreListed(t *testing.T) {
	found := map[string]int{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Hit" || len(call.Args) != 1 {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "failpoint" {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the name of a failpoint is not a constant", path)
				return true
			}
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Error(err)
			}
			found[name]++
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range found {
		if n > 1 || !slices.Contains(points, name) {
			t.Errorf("%s is in %d places, and listed: %v", name, n, slices.Contains(points, name))
		}
	}
	for _, name := range points {
		if found[name] == 0 {
			t.Errorf("%s is nowhere", name)
		}
	}
}

var sourceFile = regexp.MustCompile(`/[a-z_]+\.go`)

// TestReleaseHasNoFailpoints looks at the daemon as it is released: neither the
// package nor the name of any point is in it.
func TestReleaseHasNoFailpoints(t *testing.T) {
	for _, test := range []struct {
		path string
		has  bool
	}{{tagged, true}, {released, false}} {
		symbols, err := exec.Command("go", "tool", "nm", test.path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(symbols, []byte("internal/failpoint.")); got != test.has {
			t.Errorf("%s has symbols of failpoint: %v", test.path, got)
		}
		text, err := os.ReadFile(test.path)
		if err != nil {
			t.Fatal(err)
		}
		text = sourceFile.ReplaceAll(text, nil) // some have the name of a point
		for _, name := range points {
			if got := bytes.Contains(text, []byte(name)); got != test.has {
				t.Errorf("%s has the name %s: %v", test.path, name, got)
			}
		}
	}
}
