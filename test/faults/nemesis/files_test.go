package nemesis

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// files is a tree of regular files: their sizes by name. Of each there are versions,
// which differ in every byte.
type files map[string]int

// small is many small files in some directories.
func small(n int) files {
	f := files{}
	for i := range n {
		f[fmt.Sprintf("d%d/f%03d", i%7, i)] = i * 97 % 20000
	}
	return f
}

// content makes up what a version of a file has.
func content(name string, size, version int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(version))
	copy(key[8:], name)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// stamp is the time of a version: so old that no source is young.
func stamp(version int) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(version) * time.Hour)
}

// write makes a version of one file below root, at once.
func (f files) write(root, name string, version int) error {
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	aside := root + ".aside"
	if err := os.WriteFile(aside, content(name, f[name], version), 0o644); err != nil {
		return err
	}
	if err := os.Chtimes(aside, time.Time{}, stamp(version)); err != nil {
		return err
	}
	return os.Rename(aside, path)
}

// writeAll makes a version of all files.
func (f files) writeAll(root string, version int) error {
	for name := range f {
		if err := f.write(root, name, version); err != nil {
			return err
		}
	}
	return nil
}

func (f files) bytes() (n int64) {
	for _, size := range f {
		n += int64(size)
	}
	return n
}

// equal tells how root differs from that version of the files. What is ours stays:
// files whose names begin with "own" are left out.
func (f files) equal(root string, version int) error {
	return f.among(root, true, version)
}

// among tells what below root is of none of the versions, each file whole and of one of
// them; and, if all, what is missing.
func (f files) among(root string, all bool, versions ...int) error {
	var diffs []string
	seen := map[string]bool{}
	err := walk(root, func(name string) error {
		base := filepath.Base(name)
		if strings.HasPrefix(base, "own") || strings.HasPrefix(base, tempPrefix) {
			return nil
		}
		size, ok := f[name]
		if !ok {
			diffs = append(diffs, name+" is too much")
			return nil
		}
		seen[name] = true
		got, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			return nil // what a later transfer does
		}
		if err != nil {
			return err
		}
		for _, v := range versions {
			if bytes.Equal(got, content(name, size, v)) {
				return nil
			}
		}
		diffs = append(diffs, fmt.Sprintf("P1: %s has %d bytes of %d, of none of the versions %v", name, len(got), size, versions))
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if all && !seen[name] {
			diffs = append(diffs, name+" is missing")
		}
	}
	if len(diffs) > 0 {
		more := max(0, len(diffs)-20)
		return fmt.Errorf("%s is not what it should be:\n%s\nand %d more", root, strings.Join(diffs[:len(diffs)-more], "\n"), more)
	}
	return nil
}

const tempPrefix = ".xferd."

// walk calls fn for every file below root, which may change meanwhile.
func walk(root string, fn func(name string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
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

// TestJudgeFinds: what the judge of destinations must not let pass.
func TestJudgeFinds(t *testing.T) {
	f := files{"a": 1000, "d/b": 5000, "empty": 0}
	for name, spoil := range map[string]func(root string) error{
		"a bit":           func(r string) error { return os.WriteFile(r+"/a", append(content("a", 1000, 2)[:999], 0), 0o644) },
		"a short file":    func(r string) error { return os.Truncate(r+"/d/b", 4999) },
		"zeros":           func(r string) error { return os.WriteFile(r+"/d/b", make([]byte, 5000), 0o644) },
		"another version": func(r string) error { return f.write(r, "d/b", 1) },
		"half of each": func(r string) error {
			return os.WriteFile(r+"/d/b", append(content("d/b", 5000, 2)[:2500], content("d/b", 5000, 3)[2500:]...), 0o644)
		},
		"too many": func(r string) error { return os.WriteFile(r+"/more", nil, 0o644) },
		"too few":  func(r string) error { return os.Remove(r + "/empty") },
	} {
		root := filepath.Join(t.TempDir(), "r")
		if err := f.writeAll(root, 2); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.equal(root, 2), f.among(root, true, 2, 3)); err != nil {
			t.Fatal(err)
		}
		if err := spoil(root); err != nil {
			t.Fatal(err)
		}
		if f.among(root, true, 2, 3) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}
