package fsroot

import (
	"fmt"
	"testing"
)

// A tree of small files costs a few calls per file; none of them may cost the
// collector anything.
func TestNoAllocations(t *testing.T) {
	d, dir := top(t)
	write(t, dir+"/file", "content")
	must(t, d.Symlink("file", "link"))
	buf := make([]byte, 64)
	f, err := d.OpenWrite("file")
	must(t, err)
	defer f.Close()
	tests := []struct {
		what string
		max  float64
		call func() error
	}{
		{"Lstat", 0, func() error { _, err := d.Lstat("file"); return err }},
		{"ReadSmall", 0, func() error { _, _, err := d.ReadSmall("file", buf); return err }},
		{"FollowStat of no link", 0, func() error { _, err := d.FollowStat("file"); return err }},
		{"FollowReadSmall of no link", 0, func() error { _, _, err := d.FollowReadSmall("file", buf); return err }},
		{"Info of a directory", 0, func() error { _, err := d.Info(); return err }},
		{"Info of a file", 0, func() error { _, err := f.Info(); return err }},
		{"Pread", 0, func() error { _, err := f.Pread(buf, 0); return err }},
		{"Pwrite", 0, func() error { return f.Pwrite(buf[:7], 0) }},
		{"SetMeta", 0, func() error { return f.SetMeta(Meta{Set: SetPerm | SetMtime, Perm: 0o644, Mtime: 1}) }},
		{"Xattrs of none", 0, func() error { _, err := f.Xattrs(nil); return err }},
		{"ReadDirBytes", 1, func() error { return d.ReadDirBytes(func([]byte, Kind) error { return nil }) }},
		{"Mkdir, Rename, Rmdir", 0, func() error {
			if err := d.Mkdir("x", 0o700); err != nil {
				return err
			}
			if err := d.Rename("x", d, "y", true); err != nil {
				return err
			}
			return d.Rmdir("y")
		}},
		{"Create, Link, Unlink", 1, func() error { // the File
			f, err := d.Create("x", 0o600)
			if err != nil {
				return err
			}
			f.Close()
			if err := d.Link(d, "x", "y"); err != nil {
				return err
			}
			if err := d.Unlink("x"); err != nil {
				return err
			}
			return d.Unlink("y")
		}},
		{"OpenDir", 2, func() error { // the Dir and its path
			sub, err := d.OpenDir("sub")
			if err != nil {
				return err
			}
			return sub.Close()
		}},
	}
	must(t, d.Mkdir("sub", 0o700))
	for _, tt := range tests {
		must(t, tt.call())
		if got := testing.AllocsPerRun(100, func() { _ = tt.call() }); got > tt.max && !raceEnabled {
			t.Errorf("%s: %v allocations, want at most %v", tt.what, got, tt.max)
		}
	}
}

func BenchmarkSmallFiles(b *testing.B) {
	d, dir := top(b)
	const n = 1000
	for i := range n {
		write(b, fmt.Sprintf("%s/in/%d", dir, i), "0123456789")
	}
	must(b, d.Mkdir("out", 0o755))
	in, err := d.OpenDir("in")
	must(b, err)
	defer in.Close()
	out, err := d.OpenDir("out")
	must(b, err)
	defer out.Close()
	buf := make([]byte, 4096)
	run := func(name string, step func(name string) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := step(names[i%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("Lstat", func(name string) error { _, err := in.Lstat(name); return err })
	run("ReadSmall", func(name string) error { _, _, err := in.ReadSmall(name, buf); return err })
	run("Open", func(name string) error {
		f, err := in.Open(name)
		if err == nil {
			f.Close()
		}
		return err
	})
	run("Publish", func(name string) error {
		f, err := out.Create(".temp", 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Pwrite(buf[:10], 0); err != nil {
			return err
		}
		if err := f.SetMeta(Meta{Set: SetPerm | SetMtime, Perm: 0o644, Mtime: 1}); err != nil {
			return err
		}
		return out.Rename(".temp", out, name, false)
	})
}

var names = func() (list []string) {
	for i := range 1000 {
		list = append(list, fmt.Sprint(i))
	}
	return list
}()
