package fsroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"foo", "foobar", "foo/inner", "foo/ro"} {
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	e, err := OpenExports([]Export{
		{dir + "/foo", ReadWrite}, {dir + "/foo/inner", ReadWrite}, {dir + "/foo/ro/", ReadOnly},
	})
	must(t, err)
	defer e.Close()
	deep := dir + "/foo" + strings.Repeat("/d", MaxDepth-strings.Count(dir, "/")-1)
	long := dir + "/foo"
	for len(long)+101 <= MaxPath {
		long += "/" + strings.Repeat("l", 100)
	}
	long += "/" + strings.Repeat("l", MaxPath-len(long)-1)
	tests := []struct {
		path      string
		write     bool
		root, rel string
		err       error
	}{
		{path: dir + "/foo", root: "/foo"},
		{path: dir + "/foo/a/b", write: true, root: "/foo", rel: "a/b"},
		{path: dir + "/foo/inner", root: "/foo/inner"},
		{path: dir + "/foo/inner/x", write: true, root: "/foo/inner", rel: "x"},
		{path: dir + "/foo/innermost", write: true, root: "/foo", rel: "innermost"},
		{path: dir + "/foo/ro/x", root: "/foo/ro", rel: "x"},
		{path: dir + "/foo/ro/x", write: true, err: ErrReadOnly},
		{path: dir + "/foo/ro", write: true, err: unix.EROFS},
		{path: dir + "/foo/\xff\n", root: "/foo", rel: "\xff\n"},
		{path: dir + "/foobar", err: ErrNotExported},
		{path: dir + "/foobar/x", err: ErrNotExported},
		{path: dir + "/fo", err: ErrNotExported},
		{path: dir, err: ErrNotExported},
		{path: "/", err: ErrNotExported},
		{path: "", err: ErrBadPath},
		{path: "foo", err: ErrBadPath},
		{path: dir[1:] + "/foo", err: ErrBadPath},
		{path: dir + "/foo/", err: ErrBadPath},
		{path: dir + "/foo//a", err: ErrBadPath},
		{path: "/" + dir + "/foo", err: ErrBadPath},
		{path: dir + "/foo/./a", err: ErrBadPath},
		{path: dir + "/foo/..", err: ErrBadPath},
		{path: dir + "/foo/a/../b", err: ErrBadPath},
		{path: dir + "/foo/a\x00b", err: ErrBadPath},
		{path: dir + "/foo/" + strings.Repeat("n", 255), root: "/foo", rel: strings.Repeat("n", 255)},
		{path: dir + "/foo/" + strings.Repeat("n", 256), err: ErrBadPath},
		{path: dir + "/foo/" + strings.Repeat("n", 256), err: unix.ENAMETOOLONG},
		{path: deep, root: "/foo", rel: deep[len(dir+"/foo/"):]},
		{path: deep + "/d", err: ErrBadPath},
		{path: long, root: "/foo", rel: long[len(dir+"/foo/"):]},
		{path: long + "l", err: ErrBadPath},
	}
	for _, tt := range tests {
		r, rel, err := e.Resolve(tt.path, tt.write)
		if !errors.Is(err, tt.err) {
			t.Errorf("Resolve(%.80q, %v): error %v, want %v", tt.path, tt.write, err, tt.err)
			continue
		}
		if err == nil && (r.Path() != dir+tt.root || rel != tt.rel) {
			t.Errorf("Resolve(%.80q) = %q, %.80q, want %q, %.80q", tt.path, r.Path(), rel, dir+tt.root, tt.rel)
		}
	}
	list := e.List()
	if len(list) != 3 || list[0].Path != dir+"/foo" || list[2] != (Export{dir + "/foo/ro", ReadOnly}) {
		t.Errorf("List() = %v", list)
	}
	e.Close()
	_, _, err = e.Resolve(dir+"/foo", false)
	wantErr(t, "after Close", err, fs.ErrClosed)
}

func TestOpenExports(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "")
	must(t, os.Mkdir(dir+"/a", 0o755))
	must(t, os.Symlink("a", dir+"/alias"))
	tests := []struct {
		name string
		list []Export
		err  error
	}{
		{"none", nil, nil},
		{"link", []Export{{dir + "/alias", ReadWrite}}, nil},
		{"root", []Export{{"/", ReadOnly}}, nil},
		{"missing", []Export{{dir + "/none", ReadOnly}}, unix.ENOENT},
		{"file", []Export{{dir + "/file", ReadOnly}}, unix.ENOTDIR},
		{"relative", []Export{{"a", ReadOnly}}, ErrBadPath},
		{"dots", []Export{{dir + "/a/../a", ReadOnly}}, ErrBadPath},
		{"twice", []Export{{dir + "/a", ReadOnly}, {dir + "/a/", ReadWrite}}, unix.EEXIST},
		{"twice by a link", []Export{{dir + "/a", ReadOnly}, {dir + "/alias", ReadWrite}}, unix.EEXIST},
	}
	for _, tt := range tests {
		e, err := OpenExports(tt.list)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
		}
		if e != nil {
			e.Close()
		}
	}
	if _, err := OpenExports([]Export{{dir, 7}}); err == nil {
		t.Error("mode 7 was accepted")
	}
	// An export that is "/" holds every path.
	e, err := OpenExports([]Export{{"/", ReadOnly}})
	must(t, err)
	r, rel, err := e.Resolve(dir+"/a", false)
	must(t, err)
	d, err := r.OpenDir(rel)
	must(t, err)
	defer d.Close()
	if d.Path() != dir+"/a" {
		t.Errorf("Path() = %q", d.Path())
	}
}

// Rule by rule, written as differently from the code as it can be.
func plausible(path string) bool {
	if !strings.HasPrefix(path, "/") || len(path) > 4096 || strings.ContainsRune(path, 0) {
		return false
	}
	if path == "/" {
		return true
	}
	parts := strings.Split(path, "/")[1:]
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > 255 {
			return false
		}
	}
	return len(parts) <= 256
}

// FuzzResolve compares the rules with a second description of them, and what
// they let through with what the kernel makes of it.
func FuzzResolve(f *testing.F) {
	dir := f.TempDir()
	for _, sub := range []string{"in/a/b", "in/nested/c", "inside/x"} {
		must(f, os.MkdirAll(dir+"/"+sub, 0o755))
	}
	e, err := OpenExports([]Export{{dir + "/in", ReadWrite}, {dir + "/in/nested", ReadOnly}})
	must(f, err)
	for _, s := range []string{"/in/a/b", "/in", "/in/", "/inside/x", "/in/nested/c", "/in/nestedc", "/in/../inside", "/in//a", "/in/.", "", "/", "/in/a\x00", "/in/\xff/..\xff"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, tail string, write bool) {
		path := dir + tail
		r, rel, err := e.Resolve(path, write)
		if ok := plausible(path); ok == errors.Is(err, ErrBadPath) {
			t.Fatalf("Resolve(%q): error %v, but plausible is %v", path, err, ok)
		}
		if err != nil {
			return
		}
		if absPath(r.Path(), rel) != path || filepath.Clean(path) != path {
			t.Fatalf("Resolve(%q) = %q, %q", path, r.Path(), rel)
		}
		if write && r.Mode() != ReadWrite {
			t.Fatalf("Resolve(%q) for writing gives a read-only export", path)
		}
		if nested := path == dir+"/in/nested" || strings.HasPrefix(path, dir+"/in/nested/"); nested != (r.Mode() == ReadOnly) {
			t.Fatalf("Resolve(%q) = %q, not the innermost", path, r.Path())
		}
		info, err := r.Lstat(rel)
		if errors.Is(err, ErrEscapes) {
			t.Fatalf("Resolve(%q) lets through what the kernel calls an escape", path)
		}
		var st unix.Stat_t
		if kernel := unix.Lstat(path, &st); !errors.Is(err, kernel) {
			t.Fatalf("Lstat(%q): %v, the kernel says %v", path, err, kernel)
		}
		if err == nil && info.Ino != st.Ino {
			t.Fatalf("Lstat(%q) is another file", path)
		}
	})
}

// FuzzName makes and removes each name that is allowed, and sees that the other
// ones reach nothing.
func FuzzName(f *testing.F) {
	for _, n := range oddNames {
		f.Add(n)
	}
	for _, n := range badNames {
		f.Add(n)
	}
	dir := f.TempDir()
	must(f, os.Mkdir(dir+"/in", 0o755))
	d := openTop(f, export(f, dir+"/in"))
	f.Fuzz(func(t *testing.T, name string) {
		bad := name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00")
		file, err := d.Create(name, 0o600)
		if bad {
			wantErr(t, "Create", err, ErrBadPath)
			return
		}
		must(t, err)
		must(t, file.Close())
		var seen []string
		must(t, d.ReadDir(func(name string, k Kind) error { seen = append(seen, name); return nil }))
		if len(seen) != 1 || seen[0] != name {
			t.Fatalf("ReadDir gives %q, want %q", seen, name)
		}
		must(t, d.Unlink(name))
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Fatalf("beside the export: %v", list)
		}
	})
}
