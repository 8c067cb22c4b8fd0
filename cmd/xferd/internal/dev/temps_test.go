package dev

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Only temporary files of transfers that the state knows go.
func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	state, data := filepath.Join(dir, "state"), filepath.Join(dir, "data")
	mine, others := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for _, d := range []string{
		filepath.Join(state, "transfers", mine, "target"), filepath.Join(state, "transfers", others, "owner"), filepath.Join(data, "deep"),
	} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	gone := []string{".xferd." + mine + ".1.x", "deep/.xferd." + mine + ".2.y"}
	stay := []string{"file", ".xferd." + others + ".1.x", ".xferd.notes", "deep/" + mine, ".xferd." + mine}
	for _, name := range append(gone, stay...) {
		if err := os.WriteFile(filepath.Join(data, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeTemps(state, data); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Lstat(filepath.Join(data, name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	for _, name := range stay {
		if _, err := os.Lstat(filepath.Join(data, name)); err != nil {
			t.Error(err)
		}
	}
}
