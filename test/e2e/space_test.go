package e2e

import (
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// small mounts a tmpfs at dir for the test.
func small(t *testing.T, dir, options string) {
	t.Helper()
	needs.Root(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		needs.Missing(t, "a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// The target is full: exit 8, whole files or none, nothing left behind, and
// what was there is as it was.
func TestP6TargetIsFull(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, options, reason string
		build                 func(*tree)
		some                  bool // of the files fit
	}{
		{"OneLargeFile", "size=8m", "DEST_NO_SPACE", func(tr *tree) {
			tr.must(os.Remove(tr.root))
			tr.file("", 16<<20)
		}, false},
		{"ManyFiles", "size=8m", "DEST_NO_SPACE", func(tr *tree) {
			for i := range 16 {
				tr.file(fmt.Sprintf("f%02d", i), 1<<20)
			}
		}, true},
		{"SmallFiles", "size=2m", "DEST_NO_SPACE", func(tr *tree) {
			for i := range 1000 {
				tr.file(fmt.Sprintf("d%d/f%d", i%10, i), 4000)
			}
		}, true},
		{"Inodes", "size=64m,nr_inodes=40", "DEST_NO_INODES", func(tr *tree) {
			for i := range 100 {
				tr.file(fmt.Sprintf("d%d/f%d", i%3, i), 100)
			}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, dirs := useShared(t)
			src, full := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "full")
			small(t, full, test.options)
			test.build(newTree(t, src))
			newTree(t, full).file("mine", 5000)
			mine := must(look(filepath.Join(full, "mine")))(t)

			if test.reason == "DEST_NO_SPACE" { // what a directory takes of inodes is not known before
				if dry := c.transfer(t, 8, "cp", "-n", "n1:"+src, "n2:"+full+"/"); !slices.Contains(reasonsOf(dry), test.reason) {
					t.Errorf("the dry run fails for %v", reasonsOf(dry))
				}
			}
			tr := c.transfer(t, 8, "cp", "n1:"+src, "n2:"+full+"/")
			if !slices.Contains(reasonsOf(tr), test.reason) {
				t.Errorf("reasons %v", reasonsOf(tr))
			}
			noTemps(t, full)
			if now := must(look(filepath.Join(full, "mine")))(t); now != mine {
				t.Errorf("what was there is now %+v", now)
			}
			whole := 0
			for path, got := range must(survey(full, nil))(t) {
				if got.kind != unix.S_IFREG || path == "mine" {
					continue
				}
				want := must(look(filepath.Join(filepath.Dir(src), path)))(t)
				if want.digest != got.digest {
					t.Errorf("%s is not whole", path)
				}
				whole++
			}
			if (whole > 0) != test.some {
				t.Errorf("%d files are there", whole)
			}
			if want := map[bool]xferv1.State{false: xferv1.State_STATE_FAILED, true: xferv1.State_STATE_PARTIALLY_SUCCEEDED}[test.some]; tr.GetState() != want {
				t.Errorf("the state is %s, want %s", tr.GetState(), want)
			}

			// With room, the same command goes on.
			options := strings.ReplaceAll(test.options, "nr_inodes=40", "nr_inodes=4000")
			options = strings.ReplaceAll(strings.ReplaceAll(options, "size=8m", "size=64m"), "size=2m", "size=64m")
			if err := unix.Mount("tmpfs", full, "tmpfs", unix.MS_REMOUNT, options); err != nil {
				t.Fatal(err)
			}
			c.ok(t, "cp", "-n", "n1:"+src, "n2:"+full+"/")
			c.ok(t, "cp", "n1:"+src, "n2:"+full+"/")
			equal(t, src, filepath.Join(full, "src"))
			noTemps(t, full)
		})
	}
}

// The state directory is full: what cannot be kept is not accepted, the daemon
// lives, and takes transfers again when there is room.
func TestP3StateDirectoryIsFull(t *testing.T) {
	t.Parallel()
	state := filepath.Join(newDir(t), "state")
	small(t, state, "size=4m")
	http := newAddress() + ":7443"
	c, f := useFarm(t, 1, "--state-dir", state, "--listen-http", http)
	src, dst := filepath.Join(f.daemons[0].data, "f"), filepath.Join(f.daemons[0].data, "copy")
	newTree(t, f.daemons[0].data).file("f", 1000)
	c.ok(t, "cp", "n1:"+src, "n1:"+dst)
	health := func(code int, says string) {
		t.Helper()
		resp, err := nethttp.Get("http://" + http + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body := string(must(io.ReadAll(resp.Body))(t))
		if resp.StatusCode != code || !strings.Contains(body, says) {
			t.Errorf("healthz: %d %s, want %d %s", resp.StatusCode, body, code, says)
		}
	}
	health(200, "ok")
	filler := filepath.Join(state, "filler")
	fill(t, filler)
	r := c.run(t, "cp", "n1:"+src, "n1:"+dst+"2")
	if r.code != 8 || !strings.Contains(r.stderr, "STATE_NO_SPACE") {
		t.Errorf("%s", r)
	}
	health(503, "STATE_NO_SPACE: no space for state in "+state)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	health(200, "ok")
	eventually(t, "transfers are accepted again", func() bool {
		return c.run(t, "cp", "n1:"+src, "n1:"+dst+"3").code == 0
	})
	equal(t, src, dst+"3")
}

// fill takes all space of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// A node's user may not read the source or write the destination.
func TestPermissionsOfTheDaemon(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	f := &farm{dir: newDir(t), uid: 65534}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := f.start(2); err != nil {
		t.Fatal(err)
	}
	c := &ctl{server: f.daemons[0].server()}
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	tree := newTree(t, src)
	tree.file("open", 100)
	tree.must(os.Chmod(tree.file("secret", 100), 0o600))
	tree.must(os.Chown(tree.file("owned", 100), 1234, 1234))

	tr := c.transfer(t, 11, "cp", "n1:"+src, "n2:"+dst)
	if len(tr.GetFailures()) != 1 || tr.GetFailures()[0].GetError().GetReason() != "SOURCE_PERMISSION" || string(tr.GetFailures()[0].GetPath()) != "secret" {
		t.Errorf("failures %v", tr.GetFailures())
	}
	tree.must(os.Remove(tree.path("secret")))
	// Only root may give files away: that is counted, and not silent.
	tr = c.transfer(t, 5, "cp", "-a", "n1:"+src, "n2:"+dst)
	if tr.GetState() != xferv1.State_STATE_SUCCEEDED || tr.GetCounters().GetEntriesLost() == 0 {
		t.Errorf("%s, %d lost", tr.GetState(), tr.GetCounters().GetEntriesLost())
	}
	tree.must(os.Mkdir(filepath.Join(f.daemons[1].data, "roots"), 0o755))
	tr = c.transfer(t, 11, "cp", "n1:"+src, "n2:"+f.daemons[1].data+"/roots/")
	if !slices.Contains(reasonsOf(tr), "DEST_PERMISSION") {
		t.Errorf("reasons %v", reasonsOf(tr))
	}
	noTemps(t, f.daemons[1].data)
}
