package e2e

import (
	"debug/elf"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/xferd/xferd/test/needs"
)

// Where there is no RDMA the same programs copy by TCP and say once why; what
// asks for RDMA fails with the reason.
func TestP9NoRDMA(t *testing.T) {
	t.Parallel()
	if devices, _ := filepath.Glob("/sys/class/infiniband/*"); len(devices) > 0 {
		t.Skipf("this machine has %q", devices)
	}
	for _, test := range []struct {
		name, reasons string
		wrap          func(t *testing.T) []string
	}{
		{"AsItIs", "NO_DEVICE|NO_LIBRARY|NO_KERNEL_SUPPORT", func(*testing.T) []string { return nil }},
		{"WithoutTheLibrary", "NO_LIBRARY", hideLibrary},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &farm{dir: newDir(t), wrap: test.wrap(t)}
			t.Cleanup(func() {
				if err := f.stop(); err != nil {
					t.Error(err)
				}
			})
			if err := f.start(2); err != nil {
				t.Fatal(err)
			}
			c := &ctl{server: f.daemons[0].server()}
			src, dst := newTree(t, f.daemons[0].data).file("f", 5<<20), filepath.Join(f.daemons[1].data, "f")
			r := c.ok(t, "cp", "--transport=auto", "n1:"+src, "n2:"+dst)
			equal(t, src, dst)
			said := regexp.MustCompile(`tcp \(no rdma: (`+test.reasons+`)\)`).FindAllStringSubmatch(r.stdout+r.stderr, -1)
			if len(said) != 1 {
				t.Fatalf("the reason is to be said once:\n%s", r)
			}
			reason := said[0][1]
			if n := strings.Count(r.stdout+r.stderr, reason); n != 1 {
				t.Errorf("%s is said %d times:\n%s", reason, n, r)
			}
			for _, d := range f.daemons {
				if n := strings.Count(d.stderr.String(), "no RDMA on this node"); n != 1 || !strings.Contains(d.stderr.String(), "reason="+reason) {
					t.Errorf("%s tells of it %d times:\n%s", d.name, n, d.stderr.String())
				}
			}
			if r := c.exits(t, 14, "cp", "--transport=rdma", "n1:"+src, "n2:"+dst+"2"); !strings.Contains(r.stderr, "RDMA_UNAVAILABLE") || !strings.Contains(r.stderr, reason) {
				t.Errorf("%s", r)
			}
			if r := c.ok(t, "explain", "n1:"+src, "n2:"+dst+"2"); !strings.Contains(r.stdout, "tcp") || !strings.Contains(r.stdout, reason) {
				t.Errorf("%s", r)
			}
		})
	}
}

// hideLibrary is a command that runs others where libibverbs cannot be loaded.
func hideLibrary(t *testing.T) []string {
	t.Helper()
	needs.Root(t)
	unshare := needs.Program(t, "unshare")
	out, err := exec.Command("sh", "-c", "PATH=$PATH:/sbin:/usr/sbin ldconfig -p").Output()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, m := range regexp.MustCompile(`(?m)libibverbs\.so\S* .* => (\S+)$`).FindAllStringSubmatch(string(out), -1) {
		script += "mount --bind /dev/null " + m[1] + " && "
	}
	return []string{unshare, "-m", "sh", "-c", script + `exec "$0" "$@"`}
}

// The programs need no library of RDMA to start, and refer to none of its
// functions: they load it where it is.
func TestProgramsNeedNoVerbs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"xferd", "xferctl"} {
		f, err := elf.Open(program(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		symbols, err := f.ImportedSymbols()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) { // what is pure Go may have none
			t.Error(err)
		}
		for _, s := range symbols {
			if strings.HasPrefix(s.Name, "ibv_") {
				t.Errorf("%s refers to %s", name, s.Name)
			}
		}
		libraries, _ := f.ImportedLibraries()
		for _, l := range libraries {
			if strings.Contains(l, "ibverbs") || strings.Contains(l, "rdma") {
				t.Errorf("%s needs %s", name, l)
			}
		}
	}
}
