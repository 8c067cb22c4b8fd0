package e2e

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
	bolt "go.etcd.io/bbolt"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// What every released version left in its state directories, as an archive each.
// At a release: go test ./test/e2e -run TestWriteState -write-state=v1.2
var writeState = flag.String("write-state", "", "write internal/store/testdata/state/`VERSION`.tgz anew")

const statesDir = "../../internal/store/testdata/state"

// Where the exports of the archives were; nothing is there any more.
const stateRoot = "/dev/shm/xferd-state"

// TestWriteState leaves state of every kind at an owner and a target: transfers in
// every state, results, locks, partials, journals, as a death leaves them.
func TestWriteState(t *testing.T) {
	if *writeState == "" {
		return
	}
	if err := os.Mkdir(stateRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(stateRoot) })
	c, f := useFarmAt(t, stateRoot, 2)
	src, dst := newTree(t, f.daemons[0].data), newTree(t, f.daemons[1].data)
	src.file("tree/f", 1000)
	src.file("tree/big", 5<<20)
	src.file("tree/d/empty", 0)
	src.file("conflict/a", 10)
	src.file("conflict/b", 10)
	src.file("large", 16<<20)
	if err := errors.Join(os.Symlink("f", src.path("tree/link")), os.Link(src.path("tree/f"), src.path("tree/hard"))); err != nil {
		t.Fatal(err)
	}
	dst.file("conflict/a/in-the-way", 1)
	from := func(name string) string { return "n1:" + src.path(name) }
	to := func(name string) string { return "n2:" + dst.path(name) }
	slow := []string{"--bwlimit", "1MiB", "--chunk-size", "1MiB"}
	slowCopy := func(id string) string {
		name := c.detach(t, append([]string{"cp", "--id", id, from("large"), to(id)}, slow...)...)
		c.landed(t, name, 3<<20)
		return name
	}
	c.ok(t, "cp", "--id", "done", "--label", "a=b", from("tree"), to("tree"))
	c.exits(t, 4, "cp", "--id", "partly", from("conflict"), to("conflict"))
	c.exits(t, 4, "cp", "--id", "failed", from("tree/f"), to("conflict/a"))
	c.ok(t, "transfers", "cancel", slowCopy("cancelled"))
	c.waitOver(t, "nodes/n1/transfers/cancelled")
	c.ok(t, "transfers", "pause", slowCopy("paused"))
	poll(func() bool {
		return c.get(t, "nodes/n1/transfers/paused").GetState() == xferv1.State_STATE_PAUSED
	})
	slowCopy("running")
	c.ok(t, "nodes", "drain", "n2")
	for _, d := range f.daemons {
		d.kill()
	}
	out, err := os.Create(filepath.Join(statesDir, *writeState+".tgz"))
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(out, gzip.BestCompression)
	w := tar.NewWriter(z)
	add := func(name string, b []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))})
		_, err2 := w.Write(b)
		return errors.Join(err, err2)
	}
	for _, d := range f.daemons {
		state := filepath.Join(f.dir, d.name, "state")
		dump := execOut(t, program("xferd"), "state", "dump", "--logs", state)
		if err := add(d.name+".dump", dump); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(state, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || e.Name() == "reserve" || e.Name() == "lock" {
				return err
			}
			b, err := os.ReadFile(path)
			return errors.Join(err, add(d.name+strings.TrimPrefix(path, state), b))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// execOut runs a program that must succeed, and returns what it printed.
func execOut(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// takeState puts the state directories of an archive where daemons of a farm that
// is not started yet have theirs.
func takeState(t *testing.T, archive, dir string) {
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
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		node, rest, ok := strings.Cut(h.Name, "/")
		if !ok {
			continue // the dump
		}
		b, err := io.ReadAll(r)
		path := filepath.Join(dir, node, "state", rest)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// Daemons of this version go on with the state of every released one: nothing of
// it is forgotten, and what is asked again is what was asked then.
func TestP3StateOfReleases(t *testing.T) {
	archives, err := filepath.Glob(statesDir + "/*.tgz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("there are none, %v", err)
	}
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			takeState(t, archive, dir)
			c, f := useFarmAt(t, dir, 2)
			for id, want := range map[string]xferv1.State{
				"done": xferv1.State_STATE_SUCCEEDED, "partly": xferv1.State_STATE_PARTIALLY_SUCCEEDED, "failed": xferv1.State_STATE_FAILED,
				"cancelled": xferv1.State_STATE_CANCELLED, "paused": xferv1.State_STATE_PAUSED,
			} {
				if tr := c.get(t, "nodes/n1/transfers/"+id); tr.GetState() != want || tr.GetUid() == "" || string(tr.GetSpec().GetSources()[0].GetPath().GetPath()) == "" {
					t.Errorf("%s: %v", id, tr)
				}
			}
			done := c.get(t, "nodes/n1/transfers/done")
			if n := done.GetCounters(); n.GetFilesCopied() != 3 || n.GetBytesTotal() != 5<<20+1000 || n.GetLinksMade() != 2 || done.GetSpec().GetLabels()["a"] != "b" || done.GetDataPath().GetTransport() == "" {
				t.Errorf("done: %v", done)
			}
			if tr := c.get(t, "nodes/n1/transfers/partly"); len(tr.GetFailures()) != 1 || tr.GetError().GetReason() != "DEST_TYPE_CONFLICT" {
				t.Errorf("partly: %v", tr)
			}
			if tr := c.get(t, "nodes/n1/transfers/paused"); tr.GetCounters().GetBytesDone() < 3<<20 {
				t.Errorf("paused: %v", tr)
			}
			var paths []string
			for e, err := range c.dial(t).Entries(context.Background(), &xferv1.ListEntriesRequest{Parent: done.GetName()}) {
				if err != nil {
					t.Fatal(err)
				}
				paths = append(paths, string(e.GetPath()))
				if e.GetKind() == xferv1.EntryKind_ENTRY_KIND_FILE && len(e.GetDigest()) != 16 {
					t.Errorf("%v has no digest", e)
				}
			}
			slices.Sort(paths)
			if want := []string{"", "big", "d", "d/empty", "f", "hard", "link"}; !slices.Equal(paths, want) {
				t.Errorf("entries %q, want %q", paths, want)
			}
			// The id stands for the same transfer, though its source is gone.
			again := c.transfer(t, 0, "cp", "--id", "done", "--label", "a=c", "n1:"+stateRoot+"/n1/data/tree", "n2:"+stateRoot+"/n2/data/tree")
			if again.GetUid() != done.GetUid() {
				t.Errorf("asked again it is %v", again)
			}
			c.exits(t, 2, "cp", "--id", "done", "n1:"+stateRoot+"/n1/data/tree", "n2:"+stateRoot+"/n2/data/other")
			// The target holds what the pause left, and is still draining.
			if r := c.ok(t, "transfers", "ls", "--incoming", "--node", "n2"); !strings.Contains(r.stdout, "n1/paused") {
				t.Errorf("%s", r)
			}
			if r := c.ok(t, "nodes", "-o", "json"); !strings.Contains(r.stdout, `"draining": true`) {
				t.Errorf("%s", r)
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			for _, d := range f.daemons {
				execOut(t, program("xferd"), "state", "check", filepath.Join(dir, d.name, "state"))
			}
		})
	}
}

// State that a newer version wrote, in a format that this one cannot read, is left
// alone: exit 78.
func TestNewerStateIsRefused(t *testing.T) {
	t.Parallel()
	_, f := useFarm(t, 1)
	d := f.daemons[0]
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, d.name, "state", "state.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("meta"))
		if err := errors.Join(b.Put([]byte("format"), []byte("7")), b.Put([]byte("min_reader"), []byte("7")), b.Put([]byte("written_by"), []byte("v9.1"))); err != nil {
			return err
		}
		var sum xxh3.Hasher // as of docs/state.md
		_ = b.ForEach(func(k, v []byte) error {
			if string(k) != "sum" {
				fmt.Fprintf(&sum, "%d:%s=%d:%s\n", len(k), k, len(v), v)
			}
			return nil
		})
		return b.Put([]byte("sum"), fmt.Appendf(nil, "%016x", sum.Sum64()))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := start("xferd", environ(), program("xferd"), d.args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	code, err := p.wait()
	if err != nil || code != 78 || !strings.Contains(p.stderr.String(), "format 7") || !strings.Contains(p.stderr.String(), "v9.1") {
		t.Errorf("exit %d, %v\n%s", code, err, p.stderr.String())
	}
	if err := p.health(); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the state was changed, %v", err)
	}
}
