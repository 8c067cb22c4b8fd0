package faults

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// thing is one entry of a tree.
type thing struct {
	kind fs.FileMode // its type bits
	perm fs.FileMode
	data []byte // of a file, or where a link points to
	link string // a file: another name of that one
	time time.Time
}

// tree is what there is, or should be, below a directory, by path.
type tree map[string]thing

// began is the time of everything: so old that no source is young.
var began = time.Unix(1_700_000_000, 123_456_789)

func (t tree) file(name string, size int, version uint64) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], version)
	copy(key[8:], name)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data)
	t[name] = thing{perm: 0o640, data: data, time: began.Add(time.Duration(version) * time.Hour)}
}

func (t tree) dir(name string) {
	t[name] = thing{kind: fs.ModeDir, perm: 0o750, time: began.Add(time.Minute)}
}

func (t tree) symlink(name, to string) {
	t[name] = thing{kind: fs.ModeSymlink, data: []byte(to), time: began}
}

func (t tree) hardlink(name, to string) { t[name] = thing{link: to} }

// make makes the tree below root.
func (t tree) make(root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(t))
	for _, name := range names {
		path, x := filepath.Join(root, name), t[name]
		var err error
		switch {
		case x.link != "":
			err = os.Link(filepath.Join(root, x.link), path)
		case x.kind == fs.ModeDir:
			err = os.MkdirAll(path, 0o700)
		case x.kind == fs.ModeSymlink:
			err = os.Symlink(string(x.data), path)
		default:
			err = os.WriteFile(path, x.data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(names) { // what is below changes the times above
		path, x := filepath.Join(root, name), t[name]
		if x.link != "" {
			continue
		}
		if x.kind != fs.ModeSymlink {
			if err := os.Chmod(path, x.perm); err != nil {
				return err
			}
		}
		when := unix.NsecToTimespec(x.time.UnixNano())
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return nil
}

// real returns the entry that a hard link stands for.
func (t tree) real(name string) thing {
	if x := t[name]; x.link != "" {
		return t[x.link]
	}
	return t[name]
}

const tempPrefix = ".xferd."

// look reads one entry of the disk.
func look(path string) (thing, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return thing{}, err
	}
	x := thing{kind: st.Mode().Type(), perm: st.Mode().Perm(), time: st.ModTime()}
	switch x.kind {
	case 0:
		x.data, err = os.ReadFile(path)
	case fs.ModeSymlink:
		x.perm = 0
		var to string
		to, err = os.Readlink(path)
		x.data = []byte(to)
	}
	return x, err
}

func (x *thing) sameContent(y *thing) bool { return x.kind == y.kind && bytes.Equal(x.data, y.data) }

// equal tells how the tree below root differs from t; temporary files do, too.
func (t tree) equal(root string) error {
	var diffs []string
	seen := map[string]bool{}
	err := walk(root, func(name string) error {
		seen[name] = true
		want, ok := t[name]
		if !ok {
			diffs = append(diffs, name+" is too much")
			return nil
		}
		want = t.real(name)
		got, err := look(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if !got.sameContent(&want) || got.perm != want.perm || !got.time.Equal(want.time) {
			diffs = append(diffs, fmt.Sprintf("%s is %v %o of %d bytes of %v, want %v %o, %d, %v", name, got.kind, got.perm, len(got.data), got.time, want.kind, want.perm, len(want.data), want.time))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, x := range t {
		if !seen[name] {
			diffs = append(diffs, name+" is missing")
			continue
		}
		if x.link == "" {
			continue
		}
		a, aerr := os.Lstat(filepath.Join(root, name))
		b, berr := os.Lstat(filepath.Join(root, x.link))
		if aerr != nil || berr != nil || !os.SameFile(a, b) {
			diffs = append(diffs, name+" is no hard link to "+x.link)
		}
	}
	if len(diffs) > 0 {
		slices.Sort(diffs)
		return fmt.Errorf("%s is not what it should be:\n%s", root, strings.Join(diffs, "\n"))
	}
	return nil
}

// whole checks what must hold at any moment while before becomes after below root
// (P1): at every name is what was there, whole, or what comes there, whole, or,
// where one of the two is nothing, nothing.
func whole(root string, before, after tree) error {
	seen := map[string]bool{}
	err := walk(root, func(name string) error {
		seen[name] = true
		if strings.HasPrefix(filepath.Base(name), tempPrefix) {
			return nil
		}
		got, err := look(filepath.Join(root, name))
		if os.IsNotExist(err) {
			return nil // a node that lives is at work
		}
		if err != nil {
			return err
		}
		for _, t := range []tree{before, after} {
			if _, ok := t[name]; !ok {
				continue
			}
			if want := t.real(name); got.sameContent(&want) {
				return nil
			}
		}
		return fmt.Errorf("P1: %s is %v of %d bytes, neither the old nor the new", name, got.kind, len(got.data))
	})
	if err != nil {
		return err
	}
	for name := range before {
		if _, stays := after[name]; stays && !seen[name] && before[name].kind == after[name].kind {
			if _, err := os.Lstat(filepath.Join(root, name)); err != nil {
				return fmt.Errorf("P5: %s is gone", name)
			}
		}
	}
	return nil
}

// walk calls fn for everything below root, which may change meanwhile.
func walk(root string, fn func(name string) error) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		return fn(name)
	})
}

// temps lists the temporary files below root.
func temps(root string) (list []string, err error) {
	err = walk(root, func(name string) error {
		if strings.HasPrefix(filepath.Base(name), tempPrefix) {
			list = append(list, name)
		}
		return nil
	})
	return list, err
}
