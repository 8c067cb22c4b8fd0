package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Trees that are deeper than a path may be long, at the source already or at the
// destination only: what lies below fails alone, by its own reason, and the rest
// is there.
func TestDeeperThanAPathMayBe(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	for _, shape := range []struct {
		name   string
		levels int
		length int // of each name
	}{
		{"levels", 300, 1}, {"bytes", 40, 200},
	} {
		src, dst := filepath.Join(dirs[0], shape.name), filepath.Join(dirs[1], shape.name)
		level := strings.Repeat("d", shape.length)
		deepen(t, newTree(t, src).root, level, shape.levels, func(i, dir int) {
			f := must(unix.Openat(dir, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644))(t)
			defer unix.Close(f)
			if _, err := unix.Write(f, fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		})
		tr := c.transfer(t, 5, "cp", "-a", "n1:"+src, "n2:"+dst)
		k := tr.GetCounters()
		if tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED || k.GetFilesCopied() == 0 || k.GetEntriesFailed() == 0 {
			t.Errorf("%s: %s, %v", shape.name, tr.GetState(), k)
		}
		for _, f := range tr.GetFailures() {
			if f.GetError().GetReason() != "BAD_PATH" {
				t.Errorf("%s: failed by %s", shape.name, f.GetError().GetReason())
			}
		}
		var found int64
		depth := 0 // of the deepest directory
		deepen(t, dst, level, -1, func(i, dir int) {
			depth = i
			f, err := unix.Openat(dir, "file", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return
			}
			defer unix.Close(f)
			found++
			buf := make([]byte, 10)
			if n, err := unix.Read(f, buf); err != nil || string(buf[:n]) != fmt.Sprint(i) {
				t.Errorf("%s: at level %d is %q, %v", shape.name, i, buf[:n], err)
			}
		})
		if found != k.GetFilesCopied() || found < int64(min(200, 3500/shape.length)) {
			t.Errorf("%s: %d files are there, down to level %d, and %d are said to be", shape.name, found, depth, k.GetFilesCopied())
		}
		// Again: nothing new, and nothing is said to be done.
		again := c.transfer(t, 5, "cp", "-a", "n1:"+src, "n2:"+dst).GetCounters()
		if again.GetFilesCopied() != 0 || again.GetFilesSame() != found {
			t.Errorf("%s: the second run: %v", shape.name, again)
		}
	}
}

// deepen goes down a chain of directories of one name, and calls what with each.
// It makes as many levels; -1 makes none and goes to the end.
func deepen(t *testing.T, root, name string, levels int, what func(level, dir int)) {
	t.Helper()
	fd := must(unix.Open(root, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0))(t)
	for i := 0; i != levels; i++ {
		what(i, fd)
		if levels > 0 {
			if err := unix.Mkdirat(fd, name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil && levels > 0 {
			t.Fatal(err)
		}
		unix.Close(fd)
		if err != nil {
			return
		}
		fd = next
	}
	unix.Close(fd)
}
