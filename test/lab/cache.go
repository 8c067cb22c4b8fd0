package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cacheDir is where kernels, the initramfs and the directories of runs are: below
// XDG_CACHE_HOME. The guest must see it, so it cannot be in /run or /dev/shm.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "xferd-lab")
	if hidden(dir) {
		return "", fmt.Errorf("the cache directory %s is not visible in the lab; set XDG_CACHE_HOME", dir)
	}
	return dir, os.MkdirAll(filepath.Join(dir, "work"), 0o755)
}

// newWork makes the directory of a run, and removes what runs that were killed
// have left.
func newWork(cache string) (string, error) {
	work := filepath.Join(cache, "work")
	old, err := os.ReadDir(work)
	if err != nil {
		return "", err
	}
	for _, e := range old {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(work, e.Name()))
		}
	}
	return os.MkdirTemp(work, "run.")
}

// lock takes a lock that all processes of this user share, and returns what gives
// it up. It waits until ctx ends.
func lock(ctx context.Context, cache, name string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(cache, name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		}
	}
}
