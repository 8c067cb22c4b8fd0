package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory with 100,000 files is copied, judged, and found the same.
func TestHundredThousandFilesInOneDirectory(t *testing.T) {
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	const n = 100_000
	if err := os.MkdirAll(filepath.Join(src, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(filepath.Join(src, "d"), unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for i := range n {
		f, err := unix.Openat(fd, fmt.Sprintf("file-%06d", i), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			_, err = unix.Write(f, fmt.Appendf(nil, "contents of %d", i))
		}
		unix.Close(f)
		if err != nil {
			t.Fatal(err)
		}
	}
	tr := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dst)
	if k := tr.GetCounters(); k.GetFilesCopied() != n {
		t.Errorf("%v", k)
	}
	judge(t, src, dst)
	tr = c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dst)
	if k := tr.GetCounters(); k.GetFilesSame() != n || moved(tr) != 0 {
		t.Errorf("the second run: %v", k)
	}
	// Remove most of it, and mirror.
	for i := range n - 10 {
		if err := unix.Unlinkat(fd, fmt.Sprintf("file-%06d", i), 0); err != nil {
			t.Fatal(err)
		}
	}
	c.exits(t, 12, "sync", "--delete", "n1:"+src+"/", "n2:"+dst+"/")
	tr = c.transfer(t, 0, "sync", "-a", "--delete", "--max-delete", fmt.Sprint(n), "n1:"+src+"/", "n2:"+dst+"/")
	if k := tr.GetCounters(); k.GetDeleted() != n-10 {
		t.Errorf("the mirror: %v", k)
	}
	equal(t, src, dst)
}
