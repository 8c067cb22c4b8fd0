package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// goingDown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN; with noLogFlush the file
// system writes nothing any more from that moment on, as when the power goes.
const (
	goingDown  = 0x8004587d
	noLogFlush = 2
)

// disks are the file systems whose power is cut, and how they are mounted. The
// commit times of ext4 are how long its journal waits at most.
var disks = map[string]string{
	"ext4-1":   "loop,commit=1",
	"ext4-5":   "loop,commit=5",
	"ext4-300": "loop,commit=300",
	"xfs":      "loop,nouuid", // the images are copies of one
}

// blank holds an empty image of each kind of file system.
type blank struct {
	once sync.Once
	path string
	err  error
}

var blanks = map[string]*blank{"ext4": {}, "xfs": {}}

func (b *blank) image(kind string) (string, error) {
	b.once.Do(func() {
		b.path = filepath.Join(scratch, "blank."+kind)
		size, args := "96M", []string{"mkfs.ext4", "-q", "-F"}
		if kind == "xfs" { // which has to be this large
			size, args = "320M", []string{"mkfs.xfs", "-q", "-f"}
		}
		b.err = errors.Join(
			command("truncate", "-s", size, b.path),
			command(args[0], append(args[1:], b.path)...),
			command("fallocate", "--dig-holes", b.path))
	})
	return b.path, b.err
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// disk is a file system of its own in a file.
type disk struct {
	kind    string // a key of disks
	image   string
	at      string
	mounted bool
}

// newDisk makes an empty disk and mounts it.
func newDisk(kind, image, at string) (*disk, error) {
	fs, _, _ := strings.Cut(kind, "-")
	from, err := blanks[fs].image(fs)
	if err == nil {
		err = errors.Join(os.MkdirAll(at, 0o755), command("cp", "--sparse=always", from, image))
	}
	if err != nil {
		return nil, err
	}
	d := &disk{kind: kind, image: image, at: at}
	return d, d.mount()
}

func (d *disk) mount() error {
	err := command("mount", "-o", disks[d.kind], d.image, d.at)
	d.mounted = err == nil
	return err
}

func (d *disk) unmount() error {
	if !d.mounted {
		return nil
	}
	// What is forked at this moment holds what is open until it runs its program.
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Unmount(d.at, 0)
		switch {
		case err == nil:
			d.mounted = false
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Since(begin) > patience/3:
			return fmt.Errorf("unmount %s: %w", d.at, err)
		}
	}
}

// remove leaves nothing of the disk, whoever uses it.
func (d *disk) remove() {
	if d.mounted {
		_ = unix.Unmount(d.at, unix.MNT_DETACH)
		d.mounted = false
	}
	_ = os.Remove(d.image)
}

// flush makes everything durable that is on the disk.
func (d *disk) flush() error {
	return d.with(unix.Syncfs)
}

// stranger is another user of the disk, who writes a file of his own and syncs it:
// what others did before may become durable with it, and their bytes stay behind.
func (d *disk) stranger() error {
	f, err := os.Create(filepath.Join(d.at, "stranger"))
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("mine"))
	return errors.Join(err, f.Sync(), f.Close())
}

// off cuts the power.
func (d *disk) off() error {
	return d.with(func(fd int) error { return unix.IoctlSetPointerInt(fd, goingDown, noLogFlush) })
}

func (d *disk) with(fn func(fd int) error) error {
	f, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fn(int(f.Fd())); err != nil {
		return fmt.Errorf("%s: %w", d.at, err)
	}
	return nil
}

// needDisks ends the test where no disk can be had.
func needDisks(t testing.TB) {
	t.Helper()
	needs.Root(t)
	for _, name := range []string{"mkfs.ext4", "mkfs.xfs", "mount", "umount", "fallocate", "truncate"} {
		needs.Program(t, name)
	}
	dir := newDir(t)
	for _, kind := range []string{"ext4-5", "xfs"} {
		d, err := newDisk(kind, filepath.Join(dir, kind+".img"), filepath.Join(dir, kind))
		if err == nil {
			err = d.off()
		}
		if d != nil {
			d.remove()
		}
		if err != nil {
			needs.Missing(t, "a power cut of %s cannot be had here: %v", kind, err)
		}
	}
}
