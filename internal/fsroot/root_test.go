package fsroot

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRootResolvesBeneath(t *testing.T) {
	base := t.TempDir()
	dir := base + "/data"
	write(t, base+"/outside/secret", "s")
	write(t, dir+"/a/b/file", "f")
	must(t, os.Mkdir(base+"/database", 0o755))
	links := map[string]string{
		"rel":        "a/b",
		"up":         "a/../a/b",
		"abs":        dir + "/a/b",
		"abs odd":    "//" + dir[1:] + "/./a//b/",
		"abs up":     dir + "/a/b/..",
		"self":       dir,
		"out":        base + "/outside",
		"out rel":    "../outside",
		"out deep":   "a/../../outside",
		"out abs":    dir + "/../outside",
		"prefix":     base + "/database",
		"in and out": dir + "/out",
		"loop":       "loop",
		"loop abs":   dir + "/loop abs",
		"ping":       dir + "/pong",
		"pong":       "ping",
		"dangling":   "none",
		"magic":      "/proc/self/root",
	}
	for name, target := range links {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	r := export(t, dir)
	ab, err := r.Stat("a/b")
	must(t, err)
	a, err := r.Stat("a")
	must(t, err)
	all, err := r.Stat("")
	must(t, err)
	tests := []struct {
		rel  string
		want Info
		err  error
	}{
		{rel: "", want: all}, {rel: "a/b", want: ab}, {rel: "rel", want: ab}, {rel: "up", want: ab},
		{rel: "abs", want: ab}, {rel: "abs odd", want: ab}, {rel: "abs up", want: a}, {rel: "self", want: all},
		{rel: "self/self/abs up/b", want: ab}, {rel: "self/rel", want: ab},
		{rel: "out", err: ErrEscapes}, {rel: "out rel", err: ErrEscapes}, {rel: "out deep", err: ErrEscapes},
		{rel: "out abs", err: ErrEscapes}, {rel: "prefix", err: ErrEscapes}, {rel: "in and out", err: ErrEscapes},
		{rel: "out/secret", err: ErrEscapes}, {rel: "magic", err: ErrEscapes},
		{rel: "loop", err: unix.ELOOP}, {rel: "loop abs", err: unix.ELOOP}, {rel: "ping", err: unix.ELOOP},
		{rel: "dangling", err: unix.ENOENT}, {rel: "a/none", err: unix.ENOENT},
		{rel: "a/b/file", err: unix.ENOTDIR}, {rel: "abs/file", err: unix.ENOTDIR}, {rel: "abs/file/x", err: unix.ENOTDIR},
		{rel: "/a", err: ErrBadPath}, {rel: "a/", err: ErrBadPath}, {rel: "..", err: ErrBadPath}, {rel: "a/../a", err: ErrBadPath},
	}
	for _, tt := range tests {
		d, err := r.OpenDir(tt.rel)
		if !errors.Is(err, tt.err) {
			t.Errorf("OpenDir(%q): error %v, want %v", tt.rel, err, tt.err)
		}
		if err != nil {
			continue
		}
		if got, err := d.Info(); err != nil || got.Ino != tt.want.Ino {
			t.Errorf("OpenDir(%q) is another directory: %v", tt.rel, err)
		}
		if d.Rel() != tt.rel || d.Root() != r {
			t.Errorf("OpenDir(%q): Rel %q", tt.rel, d.Rel())
		}
		d.Close()
	}
	for rel, kind := range map[string]Kind{"out": Symlink, "abs": Symlink, "abs/file": Regular, "": Directory, "rel": Symlink} {
		if info, err := r.Lstat(rel); err != nil || info.Kind != kind {
			t.Errorf("Lstat(%q) = %v, %v, want %v", rel, info.Kind, err, kind)
		}
	}
	if info, err := r.Stat("abs/file"); err != nil || info.Kind != Regular {
		t.Errorf("Stat of a file behind an absolute link: %v, %v", info.Kind, err)
	}
}

func TestExportBehindLink(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/disk/data/a/file", "f")
	must(t, os.Symlink("disk/data", base+"/data"))
	must(t, os.Symlink(base+"/data/a", base+"/disk/data/configured"))
	must(t, os.Symlink(base+"/disk/data/a", base+"/disk/data/real"))
	r := export(t, base+"/data")
	for _, rel := range []string{"configured/file", "real/file"} {
		if info, err := r.Stat(rel); err != nil || info.Kind != Regular {
			t.Errorf("Stat(%q) = %v, %v", rel, info.Kind, err)
		}
	}
	// Turned elsewhere later, the export stays what it was.
	must(t, os.Remove(base+"/data"))
	must(t, os.Symlink("/etc", base+"/data"))
	if _, err := r.Stat("a/file"); err != nil {
		t.Error(err)
	}
}

func TestLongPaths(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		r := export(t, dir)
		// 70 levels, and an absolute path of 4000 bytes.
		part := strings.Repeat("p", (4000-len(dir))/70-1)
		rel := strings.TrimSuffix(strings.Repeat(part+"/", 70), "/")
		rel += strings.Repeat("q", 4000-len(dir)-1-len(rel))
		d, made, err := r.MkdirAll(rel, 0o755)
		must(t, err)
		if len(made) != 70 || made[0] != part || made[69] != rel || len(d.Path()) != 4000 {
			t.Errorf("MkdirAll made %d directories, path of %d bytes", len(made), len(d.Path()))
		}
		f, err := d.Create("f", 0o600)
		must(t, err)
		f.Close()
		must(t, d.Symlink("f", "link"))
		if _, err := d.FollowStat("link"); err != nil {
			t.Error(err)
		}
		d.Close()
		if d, err = r.OpenDir(rel); err != nil {
			t.Fatal(err)
		}
		d.Close()
		if _, err := r.Lstat(rel + "/f"); err != nil {
			t.Error(err)
		}
		// Deeper than any path can say, by names alone.
		d = openTop(t, r).Retain()
		for range 100 {
			must(t, d.Mkdir(strings.Repeat("x", 250), 0o755))
			next, err := d.OpenDir(strings.Repeat("x", 250))
			must(t, err)
			d.Close()
			d = next
		}
		must(t, d.Symlink("none", "link"))
		_, err = d.FollowStat("link")
		wantErr(t, "dangling link", err, unix.ENOENT)
		d.Close()
		must(t, openTop(t, r).RemoveAll(part))
		must(t, openTop(t, r).RemoveAll(strings.Repeat("x", 250)))
	})
}

func TestMkdirAll(t *testing.T) {
	base := t.TempDir()
	dir := base + "/data"
	write(t, base+"/outside/x", "")
	write(t, dir+"/a/file", "")
	must(t, os.Symlink("a", dir+"/in"))
	must(t, os.Symlink("none", dir+"/dangling"))
	must(t, os.Symlink("../outside", dir+"/out"))
	r := export(t, dir)
	tests := []struct {
		rel  string
		made string
		err  error
	}{
		{"", "", nil}, {"a", "", nil}, {"in", "", nil},
		{"b", "b", nil}, {"b/c/d", "b/c b/c/d", nil}, {"b/c/d", "", nil},
		{"in/x/y", "in/x in/x/y", nil},
		{"a/file", "", unix.ENOTDIR}, {"a/file/x", "", unix.ENOTDIR},
		{"dangling/x", "", unix.ENOTDIR},
		{"out/new", "", ErrEscapes}, {"out", "", ErrEscapes},
		{"../x", "", ErrBadPath},
	}
	for _, tt := range tests {
		d, made, err := r.MkdirAll(tt.rel, 0o755)
		if !errors.Is(err, tt.err) || strings.Join(made, " ") != tt.made {
			t.Errorf("MkdirAll(%q) made %q, %v, want %q, %v", tt.rel, made, err, tt.made, tt.err)
		}
		if err == nil {
			if d.Rel() != tt.rel {
				t.Errorf("MkdirAll(%q): directory %q", tt.rel, d.Rel())
			}
			d.Close()
		}
	}
	if exists(base+"/outside/new") || !exists(dir+"/a/x/y") {
		t.Error("made in the wrong place")
	}
	wantErr(t, "Remove of a full directory", r.Remove("b"), unix.ENOTEMPTY)
	wantErr(t, "Remove of the root", r.Remove(""), unix.EBUSY)
	for _, rel := range []string{"b/c/d", "b/c", "b", "out", "a/file"} {
		must(t, r.Remove(rel))
	}
	if !exists(base + "/outside/x") {
		t.Error("Remove followed a link")
	}
	wantErr(t, "Remove again", r.Remove("b"), unix.ENOENT)
}

func TestReadOnlyExport(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/ro/sub/file", "x")
	write(t, dir+"/other/file", "x")
	must(t, os.Symlink("ro/sub", dir+"/link"))
	e, err := OpenExports([]Export{{dir, ReadWrite}, {dir + "/ro", ReadOnly}})
	must(t, err)
	r, _, err := e.Resolve(dir, true)
	must(t, err)
	ro, _, err := e.Resolve(dir+"/ro", false)
	must(t, err)

	refused := func(what string, d *Dir) {
		t.Helper()
		_, e1 := d.Create("new", 0o600)
		_, e2 := d.OpenWrite("file")
		f, err := d.Open("file")
		must(t, err)
		defer f.Close()
		for op, err := range map[string]error{
			"Create": e1, "OpenWrite": e2, "Mkdir": d.Mkdir("new", 0o700), "Symlink": d.Symlink("x", "new"),
			"Link": d.Link(d, "file", "new"), "Mknod": d.Mknod("new", FIFO, 0o600, 0),
			"Rename": d.Rename("file", d, "new", false), "Unlink": d.Unlink("file"), "Rmdir": d.Rmdir("file"),
			"RemoveAll": d.RemoveAll("file"), "SetMeta": d.SetMeta(Meta{}), "SetMetaAt": d.SetMetaAt("file", Meta{}),
			"SetXattr": d.SetXattr("user.x", nil), "RemoveXattr": d.RemoveXattr("user.x"),
			"File.SetMeta": f.SetMeta(Meta{}), "File.SetXattr": f.SetXattr("user.x", nil), "File.RemoveXattr": f.RemoveXattr("user.x"),
		} {
			if !errors.Is(err, ErrReadOnly) || !errors.Is(err, unix.EROFS) || !d.ReadOnly() {
				t.Errorf("%s: %s: %v", what, op, err)
			}
		}
	}
	d, err := ro.OpenDir("sub")
	must(t, err)
	refused("read-only export", d)
	d.Close()
	// The writable export around it is no way in, by whatever path.
	for _, rel := range []string{"ro/sub", "link"} {
		d, err := r.OpenDir(rel)
		must(t, err)
		refused("through the outer export by "+rel, d)
		d.Close()
	}
	outer := openTop(t, r)
	d, err = outer.OpenDir("ro")
	must(t, err)
	sub, err := d.OpenDir("sub")
	must(t, err)
	refused("through the outer export by names", sub)
	sub.Close()
	d.Close()
	sub, err = outer.FollowDir("link")
	must(t, err)
	refused("through the outer export by a link", sub)
	sub.Close()
	_, _, err = r.MkdirAll("ro/new", 0o755)
	wantErr(t, "MkdirAll", err, ErrReadOnly)
	wantErr(t, "RemoveAll", outer.RemoveAll("ro"), ErrReadOnly)
	if !exists(dir + "/ro/sub/file") {
		t.Error("RemoveAll went into a read-only export")
	}
	d, err = outer.OpenDir("other")
	must(t, err)
	defer d.Close()
	if d.ReadOnly() {
		t.Error("a directory beside the read-only export is read-only")
	}
}

// A set of exports that is replaced gives its descriptors back, and not before
// its last user is done.
func TestReloadKeepsRootsInUse(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/sub", 0o755))
	e, err := OpenExports([]Export{{dir, ReadWrite}})
	must(t, err)
	r, _, err := e.Resolve(dir, true)
	must(t, err)
	must(t, e.Close())
	e = nil
	runtime.GC()
	runtime.GC()
	d, err := r.OpenDir("sub")
	must(t, err)
	r = nil
	runtime.GC()
	must(t, d.Mkdir("x", 0o755))
	must(t, d.Symlink("../sub/x", "link"))
	sub, err := d.FollowDir("link")
	must(t, err)
	must(t, sub.Close())
	must(t, d.Close())
}
