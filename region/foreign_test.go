package region

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// plainMemfd makes memory as any program does, which everybody may do everything with.
func plainMemfd(t *testing.T, size int64) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := addSeals(f, sizeSeals); err != nil {
		t.Fatal(err)
	}
	return f
}

// Who attached to read can not open the memory anew to write it, whoever made it.
func TestReadersCanNotOpenItToWrite(t *testing.T) {
	r := newRegistry(t)
	for name, foreign := range map[string]bool{"own": false, "foreign": true} {
		t.Run(name, func(t *testing.T) {
			mustCreate(t, r, Spec{ID: name, Foreign: foreign, Readers: []string{bob}})
			if foreign {
				if answer, _ := connect(t, r, ann).ask(Greeting+" offer "+name+"\n", int(plainMemfd(t, 2*PageSize).Fd())); !strings.HasPrefix(answer, "ok ") {
					t.Fatal(answer)
				}
			}
			_, files := connect(t, r, bob).ask(Greeting + " attach " + name + " r\n")
			info, err := files[0].Stat()
			if err != nil || info.Mode().Perm()&0o022 != 0 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if os.Getuid() != 0 {
				return // the owner may open it
			}
			if err := asNobody(func() error {
				f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", files[0].Fd()), os.O_RDWR, 0)
				if err == nil {
					_ = f.Close()
				}
				return err
			}); !os.IsPermission(err) {
				t.Errorf("a reader opens it to write: %v", err)
			}
		})
	}
}

// asNobody calls f with the rights to files of a user who owns nothing.
func asNobody(f func() error) error {
	end := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Setfsuid(65534); err != nil {
			end <- fmt.Errorf("setfsuid: %w", err)
			return
		}
		end <- f()
	}()
	return <-end
}

// Memory that xferd may not change the mode of has to have one that keeps others out.
func TestMemoryOfAnotherUser(t *testing.T) {
	needs.Root(t)
	for mode, fits := range map[os.FileMode]bool{0o777: false, 0o666: false, 0o620: false, 0o602: false, 0o755: true, 0o644: true, 0o600: true} {
		t.Run(fmt.Sprintf("%#o", mode), func(t *testing.T) {
			f := plainMemfd(t, PageSize)
			if err := f.Chmod(mode); err != nil {
				t.Fatal(err)
			}
			var m *mapping
			err := asNobody(func() (err error) {
				m, err = adopt(context.Background(), Spec{ID: "x", Size: PageSize}, f)
				return err
			})
			if fits {
				if err != nil {
					t.Fatal(err)
				}
				m.close()
				return
			}
			wantKind(t, err, ErrFD)
			if err == nil || !strings.Contains(err.Error(), "fchmod") {
				t.Errorf("it does not say what to do: %v", err)
			}
		})
	}
}
