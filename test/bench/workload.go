package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// workload is what is copied: path is the file or directory.
type workload struct {
	path  string
	tree  bool
	bytes int64
	files int64
}

// makeFile fills one large file with bytes that no file system and no program
// can shrink.
func makeFile(_ context.Context, o options, dir string) (workload, error) {
	w := workload{path: filepath.Join(dir, "large"), bytes: o.fileSize, files: 1}
	f, err := os.Create(w.path)
	if err != nil {
		return w, err
	}
	defer f.Close()
	rng := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for n := int64(0); n < o.fileSize; n += int64(len(buf)) {
		_, _ = rng.Read(buf)
		if _, err := f.Write(buf); err != nil {
			return w, err
		}
	}
	return w, f.Sync()
}

// makeTree copies Go's own installation, a tree as people have them, and fills
// it up with small files where it has too few.
func makeTree(_ context.Context, o options, dir string) (workload, error) {
	w := workload{path: filepath.Join(dir, "tree"), tree: true}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return w, err
	}
	if out, err := exec.Command("cp", "-RL", strings.TrimSpace(string(out)), w.path).CombinedOutput(); err != nil {
		return w, fmt.Errorf("cp: %w\n%s", err, out)
	}
	count := func() error {
		w.bytes, w.files = 0, 0
		return filepath.WalkDir(w.path, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				w.files++
				w.bytes += info.Size()
			}
			return err
		})
	}
	if err := count(); err != nil {
		return w, err
	}
	for i := 0; w.files+int64(i) < int64(o.files); i++ {
		d := filepath.Join(w.path, "more", strconv.Itoa(i/200))
		if err := os.MkdirAll(d, 0o755); err != nil {
			return w, err
		}
		if err := os.WriteFile(filepath.Join(d, strconv.Itoa(i)), make([]byte, i%30000), 0o644); err != nil {
			return w, err
		}
	}
	return w, count()
}
