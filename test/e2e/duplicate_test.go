package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The id of a node that is alive: the second process refuses to start, with
// the code that tells a supervisor not to try again, and the first one goes on.
// A former life of the same node is none: it does not answer.
func TestDuplicateNameIsRefused(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	for _, d := range f.daemons { // n1 is the one that it joins, n2 another
		t.Run(d.name, func(t *testing.T) {
			dir, address := newDir(t), newAddress()
			p, err := start("xferd", environ(), program("xferd"),
				"--name", d.name, "--state-dir", filepath.Join(dir, "state"), "--export", d.data+":rw", "--join", f.gossip,
				"--advertise", address, "--listen-control", address+":0", "--listen-data", address+":0", "--listen-http", "", "--listen-gossip", address+":7442",
				"--listen-socket", filepath.Join(dir, "s"), "--listen-socket-group", "", "--log-format", "text")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			code, err := p.wait()
			if err != nil || code != 78 {
				t.Errorf("exit %d, %v, want 78", code, err)
			}
			if want := `name "` + d.name + `"`; !strings.Contains(p.stderr.String(), want) || !strings.Contains(p.stderr.String(), "another live node has the same name") {
				t.Errorf("stderr has no %s:\n%s", want, p.stderr.String())
			}
			if err := p.health(); err != nil {
				t.Error(err)
			}
			// It made no state in the wrong name, which the right one could not use.
			if _, err := os.Lstat(filepath.Join(dir, "state")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the state directory is left: %v", err)
			}
		})
	}
	newTree(t, f.daemons[0].data).file("f", 100)
	c.ok(t, "cp", "n1:"+f.daemons[0].data+"/f", "n2:"+f.daemons[1].data+"/f")

	d := f.daemons[1]
	d.kill()
	if err := f.up(d); err != nil {
		t.Fatal(err)
	}
	if err := f.joined(); err != nil {
		t.Fatal(err)
	}
	c.ok(t, "cp", "n2:"+d.data+"/f", "n1:"+f.daemons[0].data+"/g")
}
