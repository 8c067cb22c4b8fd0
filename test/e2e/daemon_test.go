package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A throw-away cluster deletes what it made, and nothing else: neither what was
// there before, nor what users put in.
func TestDevClusterDeletesOnlyWhatItMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDir(t), "c")
	before := newTree(t, dir)
	before.file("mine", 10)
	before.file("n1/data/there-before", 10)
	before.file("n2/other/there-before", 10)
	d, err := startDev(2, dir)
	if err != nil {
		t.Fatal(err)
	}
	d.keep(t)
	c := &ctl{server: d.nodes[0].server()}
	c.ok(t, "cp", "n1:"+d.nodes[0].data+"/there-before", "n2:"+d.nodes[1].data+"/copied")
	socket := d.nodes[0].socket
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	var left []string
	for path := range must(survey(dir, nil))(t) {
		left = append(left, path)
	}
	want := map[string]bool{
		".": true, "mine": true, "n1": true, "n1/data": true, "n1/data/there-before": true,
		"n2": true, "n2/other": true, "n2/other/there-before": true, "n2/data": true, "n2/data/copied": true,
	}
	for _, path := range left {
		if !want[path] {
			t.Errorf("left behind: %s", path)
		}
		delete(want, path)
	}
	for path := range want {
		t.Errorf("deleted: %s", path)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}

	// One that finds nothing there leaves nothing.
	dir = filepath.Join(newDir(t), "a/b")
	if d, err = startDev(1, dir); err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left behind: %v", err)
	}
}

// An address, or a state directory, that another daemon has: the start fails
// with the cause, and the other goes on.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 1)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, test := range []struct {
		name, want string
		code       int
		flags      []string
	}{
		{"Control", "address already in use", 1, []string{"--listen-control", taken.Addr().String()}},
		{"Data", "address already in use", 1, []string{"--listen-data", taken.Addr().String()}},
		{"Gossip", "address already in use", 1, []string{"--listen-gossip", taken.Addr().String()}},
		{"HTTP", "address already in use", 1, []string{"--listen-http", taken.Addr().String()}},
		{"Socket", "another process answers", 1, []string{"--listen-socket", f.daemons[0].socket}},
		{"State", "use", 1, []string{"--state-dir", filepath.Join(f.dir, "n1/state")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := newDir(t)
			flags := append([]string{
				"--name", "n9", "--state-dir", filepath.Join(dir, "state"), "--export", f.daemons[0].data + ":rw", "--listen-control", "127.0.0.1:0",
				"--listen-data", "127.0.0.1:0", "--listen-http", "", "--listen-gossip", "127.0.0.1:0", "--listen-socket", filepath.Join(dir, "s"),
				"--listen-socket-group", "", "--log-format", "text",
			}, test.flags...)
			p, err := start("xferd", environ(), program("xferd"), flags...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			code, err := p.wait()
			if err != nil || code == 0 || !strings.Contains(p.stderr.String(), test.want) {
				t.Errorf("exit %d, %v, want %q in\n%s", code, err, test.want, p.stderr.String())
			}
			if err := p.health(); err != nil {
				t.Error(err)
			}
		})
	}
	c.ok(t, "nodes")
}

// SIGTERM does not wait for transfers, and a second signal ends the daemon at
// once; both keep the transfer.
func TestP3DaemonStopsWithinItsTime(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "f"), filepath.Join(f.daemons[1].data, "f")
	newTree(t, f.daemons[0].data).file("f", 16<<20)
	name := c.detach(t, "cp", "--bwlimit", "1MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
	c.landed(t, name, 2<<20)
	d := f.daemons[0]
	if err := d.stop(); err != nil { // the copy would take 14 seconds more
		t.Error(err)
	}
	if err := f.up(d); err != nil {
		t.Fatal(err)
	}
	_ = d.signal(syscall.SIGTERM)
	_ = d.signal(syscall.SIGINT)
	if code, err := d.wait(); err != nil || code != 0 && code != 130 && code != 143 {
		t.Errorf("exit %d, %v", code, err)
	}
	if err := f.up(d); err != nil {
		t.Fatal(err)
	}
	c.ok(t, "transfers", "cancel", name)
	c.waitOver(t, name)
}

// Many transfers at once, more than may run: all end, each equal.
func TestManyTransfersAtOnce(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2, "--limits-transfers", "4")
	tree := newTree(t, f.daemons[0].data)
	var names []string
	for i := range 40 {
		tree.file(fmt.Sprintf("src%d/f", i), 200_000)
		tree.file(fmt.Sprintf("src%d/g", i), 20)
		src := tree.path(fmt.Sprintf("src%d", i))
		if i == 20 {
			bounce(t, f, f.daemons[0], "SIGKILL") // with a queue
			if err := f.joined(); err != nil {    // until then n2 is not known
				t.Fatal(err)
			}
		}
		names = append(names, c.detach(t, "cp", "n1:"+src, fmt.Sprintf("n2:%s/dst%d", f.daemons[1].data, i)))
	}
	for i, name := range names {
		c.waitOver(t, name)
		equal(t, tree.path(fmt.Sprintf("src%d", i)), filepath.Join(f.daemons[1].data, fmt.Sprintf("dst%d", i)))
	}
	noTemps(t, f.daemons[1].data)
}

// The same id with the same request is one transfer, whatever happens between;
// with another request it is refused.
func TestP4OneIDIsOneTransfer(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	tree := newTree(t, f.daemons[0].data)
	src, dst := tree.file("f", 1000), filepath.Join(f.daemons[1].data, "f")
	args := []string{"cp", "--id", "once", "n1:" + src, "n2:" + dst}
	first := c.transfer(t, 0, args...)
	for _, how := range []string{"", "SIGTERM", "SIGKILL"} {
		if how != "" {
			bounce(t, f, f.daemons[0], how)
		}
		again := c.transfer(t, 0, args...)
		if again.GetUid() != first.GetUid() || again.GetCounters().GetAttempts() != first.GetCounters().GetAttempts() {
			t.Errorf("another transfer: %v", again)
		}
	}
	if r := c.exits(t, 2, "cp", "--id", "once", "n1:"+src, "n2:"+dst+"2"); !strings.Contains(r.stderr, "REQUEST_ID_REUSED") {
		t.Errorf("%s", r)
	}
}
