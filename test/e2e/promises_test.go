package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// What is told to be done is on the disk: the file is synced before it gets its
// name, and its directory after that. With durability none, nothing is.
func TestP2FileAndDirectoryAreSynced(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	tree := newTree(t, f.daemons[0].data)
	data := f.daemons[1].data
	for _, test := range []struct {
		name, durability string
		size             int
		synced           bool
	}{
		{"large", "full", 9 << 20, true}, {"small", "full", 1000, true}, {"large-none", "none", 9 << 20, false}, {"small-none", "none", 1000, false},
	} {
		src, dir := tree.file(test.name, test.size), filepath.Join(data, "dir-"+test.name)
		stop := traceCalls(t, f.daemons[1].pid(), "-y", "-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2")
		c.ok(t, "cp", "--durability", test.durability, "n1:"+src, "n2:"+dir+"/")
		trace := string(must(os.ReadFile(stop()))(t))
		// A call that another thread interrupts is written in two lines; the first
		// has what is looked for.
		rename := regexp.MustCompile(`rename(at2?)?\(.*\.xferd\..*"` + regexp.QuoteMeta(test.name) + `"`).FindStringIndex(trace)
		if rename == nil {
			t.Fatalf("%s: no rename to its name\n%s", test.name, trace)
		}
		sync := regexp.MustCompile(`(fsync|fdatasync|syncfs)\(\d+<` + regexp.QuoteMeta(dir) + `[^>]*>`)
		before, after := sync.MatchString(trace[:rename[0]]), regexp.MustCompile(`fsync\(\d+<`+regexp.QuoteMeta(dir)+`>`).MatchString(trace[rename[1]:])
		if before != test.synced || after != test.synced {
			t.Errorf("%s: synced before the rename: %v, its directory after it: %v\n%s", test.name, before, after, trace)
		}
		// The directory is new: its own name has to be kept as well.
		if made := regexp.MustCompile(`fsync\(\d+<` + regexp.QuoteMeta(data) + `>`).MatchString(trace); made != test.synced {
			t.Errorf("%s: the directory above was synced: %v\n%s", test.name, made, trace)
		}
	}
}

// Directories that somebody exchanges for symbolic links while they are copied
// lead nowhere outside the exports, neither at the source nor at the
// destination.
func TestP7ExchangedLinksNeverEscape(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	outside := newTree(t, newDir(t))
	const secret = "nobody may read this\n"
	for _, name := range []string{"a", "b", "sub/c"} {
		outside.file(name, 1)
		outside.must(os.WriteFile(outside.path(name), []byte(secret), 0o644))
	}
	before := must(survey(outside.root, nil))(t)

	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	for _, root := range []string{src, dst} {
		tree := newTree(t, root)
		for _, name := range []string{"d/a", "d/b", "d/sub/c", "x"} {
			tree.file(name, 100)
		}
		tree.symlink(outside.root, "link")
	}
	for _, root := range []string{src, dst} {
		done, stopped := make(chan struct{}), make(chan struct{})
		go func() { // ends with done
			defer close(stopped)
			for {
				select {
				case <-done:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/link", unix.RENAME_EXCHANGE)
				}
			}
		}()
		for i := range 25 {
			// New contents each time, so that there is something to do.
			_ = os.WriteFile(filepath.Join(src, "x"), random(100+i, uint64(i)), 0o644)
			for _, d := range []string{"d", "link"} {
				if st, err := os.Lstat(filepath.Join(src, d)); err == nil && st.IsDir() && root == dst {
					_ = os.WriteFile(filepath.Join(src, d, "a"), random(100+i, uint64(i)), 0o644)
				}
			}
			c.run(t, "cp", "n1:"+src, "n2:"+dst) // may fail: that is not the question
			c.run(t, "cp", "-L", "--force", "n1:"+src, "n2:"+dst)
			c.run(t, "sync", "--delete", "--force", "n1:"+src+"/", "n2:"+dst+"/")
		}
		close(done)
		<-stopped
	}
	after := must(survey(outside.root, nil))(t)
	for path, was := range before {
		if now, ok := after[path]; !ok || now != was {
			t.Errorf("%s outside of the exports is now %+v", path, now)
		}
	}
	if len(after) != len(before) {
		t.Errorf("outside of the exports are %d files, not %d", len(after), len(before))
	}
	for path, f := range must(survey(dst, nil))(t) {
		if f.kind == unix.S_IFREG && strings.Contains(string(must(os.ReadFile(filepath.Join(dst, path)))(t)), "nobody may") {
			t.Errorf("%s was read from outside of the exports", path)
		}
	}
	noTemps(t, dst)
}

// Nobody but root and the daemon's own user may call, before there are rules.
func TestP8OtherUsersMayNotCall(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	c, f := useFarm(t, 1)
	src := newTree(t, f.daemons[0].data).file("f", 10)
	dst := filepath.Join(f.daemons[0].data, "copy")
	call := func(args ...string) (int, string) {
		p, err := startAs(65534, "xferctl", environ("XFERCTL_SERVER="+c.server), program("xferctl"), args...)
		if err != nil {
			t.Fatal(err)
		}
		code, err := p.wait()
		if err != nil {
			t.Fatal(err)
		}
		return code, p.stdout.String() + p.stderr.String()
	}
	if code, out := call("nodes"); code != 10 && code != 11 {
		t.Errorf("exit %d through a socket that is closed to it\n%s", code, out)
	}
	// Even where the socket lets it in.
	for d := f.daemons[0].socket; d != scratch; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"cp", "n1:" + src, "n1:" + dst}, {"ls", "n1:" + f.daemons[0].data}, {"nodes", "drain", "n1"}, {"transfers", "ls"},
	} {
		if code, out := call(args...); code != 11 {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
	}
	if _, err := os.Lstat(dst); !os.IsNotExist(err) {
		t.Errorf("it copied: %v", err)
	}
	c.ok(t, "cp", "n1:"+src, "n1:"+dst)
}
