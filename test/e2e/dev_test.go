package e2e

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// The line that a throw-away cluster prints works as it stands, in a shell, also
// where the name of the directory is too long for a socket and has a blank; the
// nodes are distinct, so the bytes go by TCP.
func TestDevClusterPrintsALineThatWorks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDir(t), "it's a "+strings.Repeat("long", 30))
	sockets := func() []string {
		return must(filepath.Glob(filepath.Join(scratch, "xferd.*")))(t)
	}
	p, err := start("xferd dev", environ(), program("xferd"), "dev", "--nodes", "3", "--dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	p.keep(t)
	eventually(t, "the cluster is ready", func() bool { return p.ended() || strings.Contains(p.stdout.String(), "\nready") })
	line, server := "", ""
	seen := map[string]bool{}
	for l := range strings.Lines(p.stdout.String()) {
		word, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
		switch word {
		case "try":
			line = strings.TrimSpace(rest)
		case "server":
			server = strings.TrimSpace(rest)
		case "node":
			fields := strings.Fields(rest)
			seen[fields[2]], seen[fields[len(fields)-1]] = true, true // addresses and sockets
			if socket := fields[len(fields)-1]; len(socket) > 107 {
				t.Errorf("the path of the socket is too long: %s", socket)
			}
		}
	}
	if len(seen) != 6 || strings.Contains(p.stdout.String(), ":7440") {
		t.Errorf("ports and sockets are not apart, or the usual ones:\n%s", p.stdout.String())
	}
	sh := exec.Command("sh", "-c", line)
	sh.Env, sh.Dir = environ(), "/"
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	want := must(os.ReadFile(filepath.Join(dir, "n1/data/hello.txt")))(t)
	got := must(os.ReadFile(filepath.Join(dir, "n3/data/copy.txt")))(t)
	if len(want) == 0 || !bytes.Equal(got, want) {
		t.Errorf("the copy is %q, not %q", got, want)
	}
	c := &ctl{server: server}
	all := must(c.dial(t).List(t.Context(), &xferv1.ListTransfersRequest{Parent: "nodes/-"}))(t)
	if len(all.Transfers) != 1 || all.Transfers[0].GetDataPath().GetTransport() != "tcp" {
		t.Errorf("the transfers are %v", all.Transfers)
	}
	before := len(sockets())
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if after := len(sockets()); before == 0 || after >= before {
		t.Errorf("%d directories of sockets before the end, %d after it", before, after)
	}
}

// The programs need no library of RDMA to start: nothing of it is left for the
// loader to find.
func TestNoUndefinedSymbolsOfVerbs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"xferd", "xferctl"} {
		f, err := elf.Open(program(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		symbols, err := f.ImportedSymbols()
		if err != nil { // a static program has no table of them
			continue
		}
		for _, s := range symbols {
			if strings.HasPrefix(s.Name, "ibv_") || strings.HasPrefix(s.Name, "rdma_") {
				t.Errorf("%s needs %s to start", name, s.Name)
			}
		}
	}
}
