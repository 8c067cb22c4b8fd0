package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backupOf returns a backup of a new node.
func backupOf(t *testing.T, node, cluster string) string {
	t.Helper()
	o := testOptions()
	o.NodeID, o.Cluster = node, cluster
	s, err := Open(t.Context(), memDir(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := filepath.Join(memDir(t), node+"-"+cluster)
	if err := s.Backup(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestRestoreTakesTheNodesOwnBackupOnly(t *testing.T) {
	own := testOptions()
	mine, other, elsewhere := backupOf(t, own.NodeID, own.Cluster), backupOf(t, "other", own.Cluster), backupOf(t, own.NodeID, "elsewhere")
	full := func(t *testing.T) string {
		s := mustOpen(t, memDir(t))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return s.Dir()
	}
	damaged := func(t *testing.T) string {
		dir := full(t)
		if err := os.Truncate(filepath.Join(dir, "state.db"), 100); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	strange := func(t *testing.T) string {
		dir := memDir(t)
		if err := os.WriteFile(filepath.Join(dir, "passwd"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	missing := func(t *testing.T) string { return filepath.Join(memDir(t), "missing") }
	empty := func(t *testing.T) string { return memDir(t) }
	for name, c := range map[string]struct {
		dir          func(*testing.T) string
		backup, node string
		want         string // part of the error
	}{
		"own":                       {full, mine, "", ""},
		"of another node":           {full, other, "", `of node "other"`},
		"of another node, insisted": {full, other, "other", `of node "other"`},
		"of another cluster":        {full, elsewhere, "", `of cluster "elsewhere"`},
		"not the node that is said": {empty, mine, "other", `of node "` + own.NodeID + `"`},
		"empty":                     {empty, mine, "", "--node " + own.NodeID},
		"empty, said":               {empty, mine, own.NodeID, ""},
		"damaged":                   {damaged, mine, "", "--node " + own.NodeID},
		"damaged, said":             {damaged, mine, own.NodeID, ""},
		"missing":                   {missing, mine, own.NodeID, "no such file"},
		"something else":            {strange, mine, own.NodeID, "no state directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.dir(t)
			before := ""
			if _, err := os.Lstat(dir); err == nil {
				before = names(t, dir)
			}
			r, err := Restore(t.Context(), c.backup, dir, c.node)
			if c.want == "" {
				if err != nil || r.NodeID != own.NodeID || r.Cluster != own.Cluster {
					t.Fatalf("%+v %v", r, err)
				}
				mustOpen(t, dir)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if before == "" {
				if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) && name == "missing" {
					t.Error("the directory was made")
				}
			} else if now := names(t, dir); now != before {
				t.Errorf("there is %s, and was %s", now, before)
			}
		})
	}
}

// TestNoStateDirectory: a wrong directory is told from a damaged one, and nothing
// is made there.
func TestNoStateDirectory(t *testing.T) {
	dir := memDir(t)
	if _, err := Check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is no state directory") {
		t.Errorf("check: %v", err)
	}
	if err := Backup(t.Context(), dir, filepath.Join(memDir(t), "b")); err == nil || !strings.Contains(err.Error(), "is no state directory") {
		t.Errorf("backup: %v", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("%s was made", got)
	}
}

func TestCheckBackup(t *testing.T) {
	path := backupOf(t, "n7", "c")
	r, err := Check(t.Context(), path)
	if err != nil || len(r.Problems) != 0 || r.NodeID != "n7" || !r.Backup {
		t.Fatalf("%+v %v", r, err)
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if r, err = Check(t.Context(), path); err != nil || len(r.Problems) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
}

// TestDamagedLogAdvice: no backup has logs, so that is not what to do.
func TestDamagedLogAdvice(t *testing.T) {
	for path, want := range map[string]string{
		"/s/transfers/u/owner/results.log": "what became of the entries",
		"/s/transfers/u/target/landed.log": "unfinished files",
		"/s/state.db":                      "xferd state restore",
	} {
		e := damaged(path, 7, "x")
		if !strings.Contains(e.Error(), want) || e.OfLog() == strings.Contains(e.Error(), "xferd state restore") || strings.Contains(e.What(), "xferd state") {
			t.Errorf("%v", e)
		}
	}
}
