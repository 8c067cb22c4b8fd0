package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// slowly are flags that leave time to do something while a file of 16 MiB is
// read.
var slowly = []string{"--bwlimit", "4MiB", "--chunk-size", "1MiB"}

// slower leave time to run programs meanwhile, also on a busy machine.
var slower = []string{"--bwlimit", "1MiB", "--chunk-size", "1MiB", "--streams", "1"}

// while runs a throttled copy of src, and calls change when a part of it is at
// the target.
func while(t *testing.T, c *ctl, src, dst string, change func()) *xferv1.Transfer {
	t.Helper()
	name := c.detach(t, append([]string{"cp", "-a", "n1:" + src, "n2:" + dst}, slowly...)...)
	c.landed(t, name, 3<<20)
	change()
	return c.waitOver(t, name)
}

// A source that changes once while it is read: what is published is one version
// of it, the last.
func TestP1SourceChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	for _, test := range []struct {
		name   string
		change func(*tree)
	}{
		{"Truncated", func(tr *tree) { tr.must(os.Truncate(tr.path("f"), size/2)) }},
		{"TruncatedToNothing", func(tr *tree) { tr.must(os.Truncate(tr.path("f"), 0)) }},
		{"Grown", func(tr *tree) { tr.must(appendTo(tr.path("f"), random(1<<20+7, 99))) }},
		{"Replaced", func(tr *tree) {
			tr.file("new", size)
			tr.must(os.Rename(tr.path("new"), tr.path("f")))
		}},
		{"WrittenWithTheOldTime", func(tr *tree) {
			var st unix.Stat_t
			tr.must(unix.Stat(tr.path("f"), &st))
			f, err := os.OpenFile(tr.path("f"), os.O_WRONLY, 0)
			tr.must(err)
			for _, at := range []int64{0, size / 2, size - 4096} {
				_, err = f.WriteAt(random(4096, uint64(at+5)), at)
				tr.must(err)
			}
			tr.must(f.Close())
			tr.must(unix.UtimesNanoAt(unix.AT_FDCWD, tr.path("f"), []unix.Timespec{st.Atim, st.Mtim}, 0))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, dirs := useShared(t)
			src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
			tree := newTree(t, src)
			tree.file("f", size)
			tr := while(t, c, src, dst, func() { test.change(tree) })
			if tr.GetState() != xferv1.State_STATE_SUCCEEDED || tr.GetCounters().GetRestarts() == 0 {
				t.Errorf("%s, %d restarts, %v", tr.GetState(), tr.GetCounters().GetRestarts(), reasonsOf(tr))
			}
			// The directory was listed before: its new time comes with the next run.
			if err := same(src, dst, func(rel string) bool { return rel == "." }); err != nil {
				t.Error(err)
			}
			noTemps(t, dst)
		})
	}
}

func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// A source that is gone, or no file any more, fails alone: nothing of it is
// seen at the destination, and the others are there.
func TestP1SourceGoesWhileItIsRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		change  func(*tree)
		reasons []string
	}{
		{"Deleted", func(tr *tree) { tr.must(os.Remove(tr.path("f"))) }, []string{"SOURCE_VANISHED"}},
		{"BecomesADirectory", func(tr *tree) {
			tr.must(os.Remove(tr.path("f")))
			tr.must(os.Mkdir(tr.path("f"), 0o755))
		}, []string{"SOURCE_NOT_REGULAR", "SOURCE_CHANGED"}},
		{"BecomesAFIFO", func(tr *tree) {
			tr.must(os.Remove(tr.path("f")))
			tr.must(unix.Mkfifo(tr.path("f"), 0o644))
		}, []string{"SOURCE_NOT_REGULAR", "SOURCE_CHANGED"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, dirs := useShared(t)
			src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
			tree := newTree(t, src)
			tree.file("f", 16<<20)
			tree.file("other", 1000)
			tr := while(t, c, src, dst, func() { test.change(tree) })
			failed := tr.GetFailures()
			if tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED || len(failed) != 1 || string(failed[0].GetPath()) != "f" ||
				!slices.Contains(test.reasons, failed[0].GetError().GetReason()) {
				t.Errorf("%s, %v", tr.GetState(), failed)
			}
			if _, err := os.Lstat(filepath.Join(dst, "f")); !os.IsNotExist(err) {
				t.Errorf("something is at the destination: %v", err)
			}
			if want, got := must(digest(filepath.Join(src, "other")))(t), must(digest(filepath.Join(dst, "other")))(t); want != got {
				t.Error("the other file is not equal")
			}
			noTemps(t, dst)
		})
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A log file inside a tree is written to all the time: only it fails, after two
// more tries, and the version that the destination had stays.
func TestP1LogFileIsWrittenAllTheTime(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	tree := newTree(t, src)
	for i := range 200 {
		tree.file(fmt.Sprintf("d%d/f%d", i%7, i), 100*i)
	}
	tree.file("d3/log", 4<<20)
	c.ok(t, "cp", "n1:"+src, "n2:"+dst)
	old := must(look(filepath.Join(dst, "d3/log")))(t)
	tree.file("d3/log", 6<<20)
	for i := range 100 {
		tree.file(fmt.Sprintf("d%d/more%d", i%7, i), 100*i)
	}

	done, stopped := make(chan struct{}), make(chan error)
	go func() { // ends with done
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				stopped <- nil
				return
			case <-tick.C:
				if err := appendTo(tree.path("d3/log"), []byte("one more line\n")); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	r := c.run(t, "cp", "n1:"+src, "n2:"+dst, "--bwlimit", "8MiB", "--chunk-size", "1MiB", "-o", "json")
	close(done)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	// SOURCE_CHANGED is 6; of several failures the code is the worst.
	if r.code != 6 {
		t.Errorf("exit %d\n%s", r.code, r)
	}
	tr := c.get(t, must(endEvent(r.stdout))(t)["name"].(string))
	k := tr.GetCounters()
	if len(tr.GetFailures()) != 1 || tr.GetFailures()[0].GetError().GetReason() != "SOURCE_CHANGED" || k.GetFilesFailed() != 1 || k.GetRestarts() != 2 {
		t.Errorf("%v %v", k, tr.GetFailures())
	}
	if now := must(look(filepath.Join(dst, "d3/log")))(t); now != old {
		t.Errorf("the old version is gone: %+v", now)
	}
	if err := same(src, dst, func(rel string) bool { return rel == "d3/log" }); err != nil {
		t.Error(err)
	}
	noTemps(t, dst)
}

// Files that come and go while a tree is scanned and copied: what is told to be
// copied is whole, and nothing else happens.
func TestP1TreeIsBusy(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	tree := newTree(t, src)
	for i := range 400 {
		tree.file(fmt.Sprintf("d%d/stays%d", i%9, i), 2000)
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ends with done
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			// Each version of a file is all of one byte, so a mixture is seen.
			name := tree.path(fmt.Sprintf("d%d/moves%d", i%9, i%50))
			b := make([]byte, 50000+i%1000)
			for k := range b {
				b[k] = byte(i)
			}
			_ = os.WriteFile(name+".tmp", b, 0o644)
			_ = os.Rename(name+".tmp", name)
			if i%3 == 0 {
				_ = os.Remove(tree.path(fmt.Sprintf("d%d/moves%d", (i+4)%9, (i+4)%50)))
			}
		}
	}()
	for range 5 {
		r := c.run(t, "cp", "n1:"+src, "n2:"+dst)
		if r.code != 0 && r.code != 6 && r.code != 5 {
			t.Errorf("%s", r)
		}
	}
	close(done)
	<-stopped
	moving, err := filepath.Glob(filepath.Join(dst, "*", "moves*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range moving {
		b := must(os.ReadFile(f))(t)
		for _, x := range b {
			if x != b[0] {
				t.Fatalf("%s is a mixture of two versions", f)
			}
		}
	}
	c.ok(t, "sync", "--delete", "n1:"+src+"/", "n2:"+dst+"/")
	equal(t, src, dst)
	noTemps(t, dst)
}
