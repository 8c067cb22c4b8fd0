package rdma

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// reason returns that of an *UnavailableError.
func reason(err error) Reason {
	if u, ok := errors.AsType[*UnavailableError](err); ok {
		return u.Reason
	}
	return ""
}

func TestNoLibraryIsAReason(t *testing.T) {
	_, err := load("libnot-here.so.1")
	want := NoLibrary
	if !ibv.Built() {
		want = NoCgo
	}
	if reason(err) != want || err.Error() == "" {
		t.Errorf("load: %v, want %s", err, want)
	}
	t.Log(err)
}

func TestNotALibraryOfVerbsIsAReason(t *testing.T) {
	_, err := load("libc.so.6")
	if !ibv.Built() {
		t.Skip("built without verbs")
	}
	if reason(err) != NoLibrary || !strings.Contains(err.Error(), "ibv_") {
		t.Errorf("load: %v, want %s and the function that is missing", err, NoLibrary)
	}
}

func TestOpenOnThisMachine(t *testing.T) {
	sys, err := Open()
	if !ibv.Built() {
		if reason(err) != NoCgo {
			t.Errorf("Open without cgo or headers: %v", err)
		}
		return
	}
	if err != nil {
		if reason(err) != NoLibrary {
			t.Errorf("Open: %v", err)
		}
		t.Skip(err)
	}
	if !strings.HasPrefix(sys.Driver(), "libibverbs 1.") {
		t.Errorf("Driver() = %q", sys.Driver())
	}
	again, err := Open()
	if err != nil || again == sys {
		t.Errorf("a second Open: %v, the same %v", err, again == sys)
	}
	devices, err := sys.Devices()
	switch {
	case err == nil:
		t.Logf("%s: %+v", sys.Driver(), devices)
		if _, err := sys.OpenDevice("not-here"); reason(err) != NoDevice {
			t.Errorf("OpenDevice of nothing: %v", err)
		}
	case reason(err) == NoKernel, reason(err) == NoDevice, reason(err) == NoPermission:
		t.Log(err)
		if _, err2 := sys.OpenDevice("not-here"); reason(err2) != reason(err) {
			t.Errorf("OpenDevice: %v, Devices: %v", err2, err)
		}
	default:
		t.Errorf("Devices: %v", err)
	}
}

func TestErrnosOfTheLibraryHaveReasons(t *testing.T) {
	for errno, want := range map[syscall.Errno]Reason{
		syscall.ENOSYS: NoKernel, syscall.EPERM: NoPermission, syscall.EACCES: NoPermission, syscall.ENOMEM: "", syscall.EIO: "",
	} {
		if err := unavailable(errno); reason(err) != want || !errors.Is(err, errno) {
			t.Errorf("%v: %v, want %q", errno, err, want)
		}
	}
}

// TestOtherBuilds runs some tests of this package as it is built without cgo,
// without the headers, and without inlining in C.
func TestOtherBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	for name, env := range map[string]string{
		"without cgo": "CGO_ENABLED=0", "without headers": "CGO_CFLAGS=-O2 -DXFERV_NO_HEADERS", "unoptimized": "CGO_CFLAGS=-O0",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("go", "test", "-short", "-count=1", "-run", "Open|Library|Layout|Reason", ".")
			cmd.Env = append(os.Environ(), env)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
