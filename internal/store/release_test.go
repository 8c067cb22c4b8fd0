package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// unpack unpacks an archive of testdata/state and returns where.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := memDir(t)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		path := filepath.Join(dir, h.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReleasedStates opens what every released version wrote: state directories of
// an owner and a target that were killed in the middle of their work, beside what
// that version itself said was in them. test/e2e writes them, and runs daemons on
// them: see TestP3StateOfReleases there.
func TestReleasedStates(t *testing.T) {
	archives, err := filepath.Glob("testdata/state/*.tgz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("there are none, %v", err)
	}
	for _, archive := range archives {
		for _, node := range []string{"n1", "n2"} {
			t.Run(filepath.Base(archive)+"/"+node, func(t *testing.T) {
				all := unpack(t, archive)
				dir := filepath.Join(all, node)
				want, err := os.ReadFile(filepath.Join(all, node+".dump"))
				if err != nil {
					t.Fatal(err)
				}
				before := mustCheck(t, dir)
				if before.Logs == 0 || before.NodeID != node {
					t.Fatalf("%+v", before)
				}
				var have bytes.Buffer
				if err := Dump(t.Context(), dir, &have, true); err != nil {
					t.Fatal(err)
				}
				if have.String() != string(want) {
					t.Errorf("it does not say what it said then; now\n%s\nthen\n%s", have.String(), want)
				}
				s, err := Open(t.Context(), dir, Options{NodeID: node, Cluster: before.Cluster, Version: "test", Reserve: -1})
				if err != nil {
					t.Fatal(err)
				}
				if s.StateUUID() != before.StateUUID || s.Incarnation() <= before.Incarnation {
					t.Errorf("state %s, incarnation %d; it was %+v", s.StateUUID(), s.Incarnation(), before)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				after := mustCheck(t, dir)
				if after.Logs != before.Logs || after.Format != format || after.WrittenBy != "test" {
					t.Errorf("after it was opened: %+v, before: %+v", after, before)
				}
			})
		}
	}
}

func mustCheck(t *testing.T, dir string) *Report {
	t.Helper()
	r, err := Check(t.Context(), dir)
	if err != nil || len(r.Problems) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r
}
