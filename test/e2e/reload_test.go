package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The configuration is read again at SIGHUP: exports come and go, and a file
// with a mistake changes nothing.
func TestExportsAreReloaded(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	tree := newTree(t, dir)
	tree.file("one/f", 10)
	tree.file("two/f", 10)
	config := func(rest string) {
		tree.must(os.WriteFile(tree.path("xferd.yaml"), []byte(`
name: n1
listen: {control: "127.0.0.1:0", data: "127.0.0.1:0", gossip: "127.0.0.1:0", http: "", socket: s, socket_group: ""}
state_dir: state
log: {format: text}
`+rest+`
`), 0o600))
	}
	config(`exports: [{path: one, mode: rw}]`)
	p, err := start("xferd", environ(), program("xferd"), "--config", filepath.Join(dir, "xferd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.keep(t)
	eventually(t, "it is up", func() bool { return p.ended() || strings.Contains(p.stderr.String(), "node is up") })
	c := &ctl{server: "unix://" + filepath.Join(dir, "s")}
	hangup := func(says string) {
		t.Helper()
		n := strings.Count(p.stderr.String(), says)
		if err := p.signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, says, func() bool { return strings.Count(p.stderr.String(), says) > n })
	}
	c.exits(t, 11, "ls", "n1:"+tree.path("two"))
	config(`exports: [{path: two, mode: ro}]`)
	hangup("configuration reloaded")
	c.ok(t, "ls", "n1:"+tree.path("two"))
	c.exits(t, 11, "ls", "n1:"+tree.path("one"))
	c.exits(t, 11, "cp", "n1:"+tree.path("two/f"), "n1:"+tree.path("two/g"))
	config(`exports: [{path: one, mode: sometimes}]`)
	hangup("level=ERROR msg=reload")
	config(`exports: [{path: missing, mode: rw}]`)
	hangup("level=ERROR msg=reload")
	c.ok(t, "ls", "n1:"+tree.path("two"))
	config("exports: [{path: one, mode: rw}, {path: two, mode: rw}]\nlimits: {bandwidth: 5MB/s}\nbuffer_memory: 128MiB\nlabels: {rack: r1}")
	hangup("keys=\"labels.rack buffer_memory\"")
	if !strings.Contains(p.stderr.String(), "changed=\"exports limits.bandwidth\"") {
		t.Errorf("the log does not tell what was taken over\n%s", p.stderr.String())
	}
	if tr := c.transfer(t, 0, "cp", "n1:"+tree.path("two/f"), "n1:"+tree.path("one/limited")); tr.GetSpec().GetMaxBytesPerSecond() != 5_000_000 {
		t.Errorf("a transfer may take %d bytes per second", tr.GetSpec().GetMaxBytesPerSecond())
	}
	c.ok(t, "cp", "n1:"+tree.path("two/f"), "n1:"+tree.path("one/g"))
}
