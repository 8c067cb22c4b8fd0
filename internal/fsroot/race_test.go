package fsroot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// playground has an export with a directory "victim" and a symbolic link "evil"
// to a directory outside, which a goroutine exchanges as fast as it can.
type playground struct {
	base      string
	root      *Root
	exchanges atomic.Int64
}

const canary = "canary: must neither be read nor changed"

func newPlayground(t *testing.T, target func(base string) string) *playground {
	t.Helper()
	p := &playground{base: t.TempDir()}
	write(t, p.base+"/outside/file", canary)
	write(t, p.base+"/outside/sub/file", canary)
	write(t, p.base+"/data/victim/file", "ours")
	write(t, p.base+"/data/victim/sub/file", "ours")
	must(t, os.Symlink(target(p.base), p.base+"/data/evil"))
	p.root = export(t, p.base+"/data")

	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := unix.Renameat2(unix.AT_FDCWD, p.base+"/data/victim", unix.AT_FDCWD, p.base+"/data/evil", unix.RENAME_EXCHANGE)
			if err == nil {
				p.exchanges.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		if p.exchanges.Load() == 0 {
			t.Error("nothing was exchanged")
		}
		var seen []string
		must(t, filepath.Walk(p.base+"/outside", func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			seen = append(seen, path[len(p.base):])
			if info.Mode().IsRegular() {
				if b, err := os.ReadFile(path); err != nil || string(b) != canary {
					t.Errorf("%s has %q, %v", path, b, err)
				}
			}
			return nil
		}))
		if want := "[/outside /outside/file /outside/sub /outside/sub/file]"; fmt.Sprint(seen) != want {
			t.Errorf("outside there is %v", seen)
		}
	})
	return p
}

// rounds runs step a bounded number of times, and on until it has been both
// right and refused, so that the race was met.
func rounds(t *testing.T, step func(i int) error) {
	t.Helper()
	ok, refused := 0, 0
	for i := 0; i < 2000 || (ok == 0 || refused == 0) && i < 50_000; i++ {
		if err := step(i); err == nil {
			ok++
		} else {
			refused++
		}
	}
	t.Logf("%d went well, %d were refused", ok, refused)
	if ok == 0 {
		t.Error("none went well")
	}
}

var evilTargets = map[string]func(base string) string{
	"absolute": func(base string) string { return base + "/outside" },
	"relative": func(string) string { return "../outside" },
}

func eachEvil(t *testing.T, test func(t *testing.T, p *playground)) {
	for name, target := range evilTargets {
		t.Run(name, func(t *testing.T) { test(t, newPlayground(t, target)) })
	}
}

// The control: what opens by path does meet the canary here.
func TestRaceHasPower(t *testing.T) {
	p := newPlayground(t, evilTargets["absolute"])
	for range 200_000 {
		if b, err := os.ReadFile(p.base + "/data/victim/file"); err == nil && string(b) == canary {
			return
		}
	}
	t.Error("the canary was never met, so the other tests show nothing")
}

func TestRaceOpenDirAndRead(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		buf := make([]byte, 100)
		rounds(t, func(int) error {
			d, err := p.root.OpenDir("victim/sub")
			if err != nil {
				return err
			}
			defer d.Close()
			n, _, err := d.ReadSmall("file", buf)
			if err == nil && string(buf[:n]) != "ours" {
				t.Fatalf("read %q", buf[:n])
			}
			return err
		})
	})
}

func TestRaceOpenDirByName(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		d := openTop(t, p.root)
		buf := make([]byte, 100)
		rounds(t, func(int) error {
			sub, err := d.OpenDir("victim")
			if err != nil {
				return err
			}
			defer sub.Close()
			n, _, err := sub.ReadSmall("file", buf)
			if err == nil && string(buf[:n]) != "ours" {
				t.Fatalf("read %q", buf[:n])
			}
			return err
		})
	})
}

func TestRaceCreate(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		rounds(t, func(i int) error {
			d, err := p.root.OpenDir("victim")
			if err != nil {
				return err
			}
			defer d.Close()
			f, err := d.Create("new", 0o600)
			if err != nil {
				return err
			}
			defer f.Close()
			must(t, f.Pwrite([]byte("new"), 0))
			must(t, f.SetMeta(Meta{Set: SetPerm | SetMtime, Perm: 0o777, Mtime: int64(i)}))
			must(t, d.Rename("new", d, "newer", false))
			must(t, d.SetMetaAt("newer", Meta{Set: SetPerm, Perm: 0o600}))
			return d.Unlink("newer")
		})
	})
}

func TestRaceMkdirAll(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		rounds(t, func(i int) error {
			name := fmt.Sprint("n", i)
			d, _, err := p.root.MkdirAll("victim/"+name+"/deeper", 0o755)
			if err != nil {
				return err
			}
			return d.Close()
		})
	})
}

func TestRaceFollow(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		d := openTop(t, p.root)
		must(t, d.Symlink("victim/file", "rel"))
		must(t, d.Symlink(p.base+"/data/victim/sub/../file", "abs"))
		buf := make([]byte, 100)
		for _, name := range []string{"rel", "abs"} {
			rounds(t, func(int) error {
				f, err := d.FollowOpen(name)
				if err != nil {
					return err
				}
				defer f.Close()
				n, err := f.Pread(buf, 0)
				if err == nil && string(buf[:n]) != "ours" {
					t.Fatalf("read %q", buf[:n])
				}
				return err
			})
		}
		rounds(t, func(int) error {
			sub, err := d.FollowDir("victim")
			if err != nil {
				return err
			}
			defer sub.Close()
			n, _, err := sub.FollowReadSmall("file", buf)
			if err == nil && string(buf[:n]) != "ours" {
				t.Fatalf("read %q", buf[:n])
			}
			return err
		})
	})
}

func TestRaceRemoveAll(t *testing.T) {
	eachEvil(t, func(t *testing.T, p *playground) {
		d := openTop(t, p.root)
		for i := range 500 {
			err := d.RemoveAll("victim")
			if err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ESTALE) {
				t.Fatal(err)
			}
			// What went is put back, made beside and moved, so that the test does not
			// follow the link itself. Where both names are taken this does nothing.
			made := fmt.Sprintf("%s/made%d", p.base, i)
			write(t, made+"/sub/sub/file", "ours")
			write(t, made+"/file", "ours")
			for _, name := range []string{"victim", "evil"} {
				into := p.base + "/data/" + name
				if unix.Renameat2(unix.AT_FDCWD, made, unix.AT_FDCWD, into, unix.RENAME_NOREPLACE) == nil {
					continue
				}
				_ = os.Symlink(evilTargets["absolute"](p.base), into)
			}
		}
	})
}
