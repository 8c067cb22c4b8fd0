package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Binary is a compiled test binary that the guest can see.
type Binary struct {
	Path string
	Dir  string // the package's, where go test would run it
	work string
}

// Close removes it.
func (b *Binary) Close() { _ = os.RemoveAll(b.work) }

// BuildFlags are the usual flags of go test -c.
func BuildFlags(race bool) []string {
	if race {
		return []string{"-race"}
	}
	return nil
}

// Compile builds the test binary of a package, given as a path or an import path.
// Close removes it.
func Compile(ctx context.Context, pkg string, flags ...string) (*Binary, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := command(ctx, "", "go", "list", "-f", "{{.Dir}}", pkg)
	if err != nil {
		return nil, err
	}
	b := &Binary{Dir: strings.TrimSpace(string(dir))}
	if b.work, err = newWork(cache); err != nil {
		return nil, err
	}
	b.Path = filepath.Join(b.work, filepath.Base(b.Dir)+".test")
	if _, err := command(ctx, "", "go", append(append([]string{"test", "-c", "-o", b.Path}, flags...), pkg)...); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}
