package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// facts are all that a copy with -a must keep of one entry.
type facts struct {
	kind     uint32
	perm     uint32
	uid, gid uint32
	size     int64
	mtime    int64
	target   string
	rdev     uint64
	first    string // the first name of the same inode
	digest   [32]byte
	holes    string
	xattrs   string
	blocks   int64
}

// same reports every difference between two trees, as the tests see it without
// help of another program. Names for which skip is true are left out.
func same(src, dst string, skip func(rel string) bool) error {
	a, err := survey(src, skip)
	if err != nil {
		return err
	}
	b, err := survey(dst, skip)
	if err != nil {
		return err
	}
	var diffs []string
	for name, want := range a {
		got, ok := b[name]
		if !ok {
			diffs = append(diffs, fmt.Sprintf("%q is missing", name))
			continue
		}
		// A copy may have fewer blocks, but not noticeably more: file systems
		// differ by what they reserve.
		if got.blocks > want.blocks+256 {
			diffs = append(diffs, fmt.Sprintf("%q has %d blocks, the source %d", name, got.blocks, want.blocks))
		}
		got.blocks, want.blocks = 0, 0
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%q differs:\n  %+v\n  %+v", name, want, got))
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			diffs = append(diffs, fmt.Sprintf("%q is too much", name))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	slices.Sort(diffs)
	n := len(diffs)
	diffs = diffs[:min(n, 20)]
	return fmt.Errorf("%d differences between %s and %s:\n%s", n, src, dst, strings.Join(diffs, "\n"))
}

func survey(root string, skip func(string) bool) (map[string]facts, error) {
	out, names := map[string]facts{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if skip != nil && skip(rel) {
			if d.IsDir() && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		f, err := look(path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Nlink > 1 && !d.IsDir() { // WalkDir goes by name, so the first is the same in both
			if names[st.Ino] == "" {
				names[st.Ino] = rel
			}
			f.first = names[st.Ino]
		}
		out[rel] = f
		return nil
	})
	return out, err
}

func look(path string) (facts, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return facts{}, err
	}
	f := facts{
		kind: st.Mode & unix.S_IFMT, perm: st.Mode &^ unix.S_IFMT, uid: st.Uid, gid: st.Gid,
		mtime: st.Mtim.Nano(),
	}
	var err error
	switch f.kind {
	case unix.S_IFREG:
		f.size, f.blocks = st.Size, st.Blocks
		if f.digest, err = digest(path); err == nil {
			f.holes, err = holes(path)
		}
	case unix.S_IFLNK:
		f.target, err = os.Readlink(path)
	case unix.S_IFCHR, unix.S_IFBLK:
		f.rdev = st.Rdev
	}
	if err != nil {
		return f, err
	}
	f.xattrs, err = xattrsOf(path)
	return f, err
}

func digest(path string) (sum [32]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

// holes are the ranges of 64 KiB and more without data, cut to whole 64 KiB:
// smaller ones no file system promises.
func holes(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	const unit = 64 << 10
	var out strings.Builder
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	for at := int64(0); at < end; {
		hole, err := file.Seek(at, unix.SEEK_HOLE)
		if err != nil {
			return "", err
		}
		data, err := file.Seek(hole, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data = end
		} else if err != nil {
			return "", err
		}
		if from, to := (hole+unit-1)/unit, data/unit; from < to {
			fmt.Fprintf(&out, "%d-%d ", from, to)
		}
		at = data
	}
	return out.String(), nil
}

func xattrsOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var out []string
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != accessACL && name != defaultACL {
			continue
		}
		v := make([]byte, 64<<10)
		m, err := unix.Lgetxattr(path, name, v)
		if err != nil {
			return "", err
		}
		out = append(out, fmt.Sprintf("%s=%x", name, v[:m]))
	}
	slices.Sort(out)
	return strings.Join(out, " "), nil
}

// judge has rsync find differences, in contents and in all metadata; another
// program's opinion.
func judge(t testing.TB, src, dst string, more ...string) {
	t.Helper()
	args := append([]string{"-n", "-aHAXc", "--delete", "--itemize-changes", "--modify-window=-1"}, more...)
	cmd := exec.Command(needs.Program(t, "rsync"), append(args, src+"/", dst+"/")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("rsync: %v\n%s", err, stderr.String())
	}
	if len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("rsync finds differences between %s and %s:\n%s", src, dst, out[:min(len(out), 4000)])
	}
}

// temps lists the names that xferd uses for files under way.
func temps(dirs ...string) ([]string, error) {
	var out []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(filepath.Base(path), ".xferd.") {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func noTemps(t testing.TB, dirs ...string) {
	t.Helper()
	left, err := temps(dirs...)
	if err != nil {
		t.Error(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func equal(t testing.TB, src, dst string) {
	t.Helper()
	if err := same(src, dst, nil); err != nil {
		t.Error(err)
	}
}
