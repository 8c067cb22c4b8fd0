package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/internal/store"
)

// TestStateExitCodes: the code tells damage from a command that does not fit.
func TestStateExitCodes(t *testing.T) {
	base := t.TempDir()
	state := func(node string) string {
		dir := filepath.Join(base, node)
		s, err := store.Open(t.Context(), dir, store.Options{NodeID: node, Cluster: "c", Reserve: -1})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.CreateLog(store.Owner, "u", "results")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(1, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	n1, n2, log, used := state("n1"), state("n2"), state("n3"), state("n4")
	if err := os.WriteFile(filepath.Join(log, "transfers/u/owner/results.log"), bytes.Repeat([]byte{1}, 500), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := store.Open(t.Context(), used, store.Options{NodeID: "n4", Cluster: "c", Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	copied, empty := filepath.Join(base, "copy"), t.TempDir()
	damaged := filepath.Join(base, "damaged")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte{7}, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string // in either output
		not  string
	}{
		{[]string{"check", n1}, exitOK, "good\n", ""},
		{[]string{"backup", n1, copied}, exitOK, "", ""},
		{[]string{"backup", n1, copied}, exitFailed, "is there already", ""},
		{[]string{"check", copied}, exitOK, "node n1 of cluster c", ""},
		{[]string{"check", damaged}, exitState, "take another one", "state check"},
		{[]string{"check", log}, exitState, "the daemon starts all the same", "state restore"},
		{[]string{"check", empty}, exitFailed, "is no state directory", "node  of"},
		{[]string{"check", filepath.Join(base, "missing")}, exitFailed, "no such file", ""},
		{[]string{"check", used}, exitFailed, "in use", ""},
		{[]string{"restore", n2, copied}, exitConfig, "good for its own node only", ""},
		{[]string{"restore", empty, copied}, exitFailed, "--node n1", ""},
		{[]string{"restore", "--node", "n1", empty, copied}, exitOK, "restored: node n1 of cluster c", ""},
		{[]string{"restore", n1, copied}, exitOK, "kept as", ""},
		{[]string{"restore", n1, damaged}, exitState, "is damaged", ""},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"state"}, c.args...), &stdout, &stderr)
		text := stdout.String() + stderr.String()
		if code != c.code || !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%q: exit %d, want %d with %q and without %q\n%s", c.args, code, c.code, c.want, c.not, text)
		}
	}
}
