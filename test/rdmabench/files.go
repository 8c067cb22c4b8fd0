package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"
)

// files is what reading a file and writing another one costs where nothing lies
// between: with it and the cost of the device the cost of a copy by RDMA from file
// to file can be judged, since an emulated machine copies memory slowly.
type files struct {
	dir  string
	size int64
}

func newFiles(o options) (f *files, err error) {
	f = &files{size: int64(o.mib) << 20}
	if f.dir, err = os.MkdirTemp("/dev/shm", "f."); err != nil {
		return nil, err
	}
	return f, os.WriteFile(f.path("from"), make([]byte, f.size), 0o600)
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

func (f *files) close() { _ = os.RemoveAll(f.dir) }

func (f *files) move(context.Context) (run, error) {
	used, err := meter(func() (time.Duration, error) { return processor(), nil })
	if err != nil {
		return run{}, err
	}
	start := time.Now()
	if err := f.copy(); err != nil {
		return run{}, err
	}
	r := run{wall: time.Since(start), bytes: f.size}
	if r.cpu, err = used(); err != nil {
		return run{}, err
	}
	return r, os.Remove(f.path("to"))
}

func (f *files) copy() error {
	from, err := os.Open(f.path("from"))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(f.path("to"))
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	// Behind plain interfaces, so that the kernel does not copy by itself.
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf)
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	return err
}
