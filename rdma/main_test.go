package rdma

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// work is a directory for all tests, gone after them.
var work string

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "rdma"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(work)
		os.Exit(code)
	}))
}

// buildFake compiles testdata/fake.c, which looks like libibverbs and loops back
// what is posted.
var buildFake = sync.OnceValues(func() (string, error) {
	lib := filepath.Join(work, "libfakeverbs.so.1.2.3")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", lib, "internal/ibv/testdata/fake.c").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return lib, nil
})

// fakeLibrary loads it. Tests change it by t.Setenv.
func fakeLibrary(t *testing.T) *ibv.Library {
	t.Helper()
	if !ibv.Built() {
		t.Skip("built without verbs")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	path, err := buildFake()
	if err != nil {
		t.Fatal(err)
	}
	lib, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

func fakeSystem(t *testing.T) *System {
	t.Helper()
	sys := New(libibverbs{fakeLibrary(t)})
	files := openFiles(t)
	t.Cleanup(func() {
		if live := sys.Live(); len(live) > 0 {
			t.Errorf("still open: %v", live)
		}
		if now := openFiles(t); len(now) != len(files) {
			t.Errorf("open files: %v, before %v", now, files)
		}
	})
	return sys
}

// openFiles are what the descriptors of this process lead to, those of the
// runtime's poller left out.
func openFiles(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, f := range list {
		to, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && !strings.Contains(to, "[event") {
			files = append(files, to)
		}
	}
	return files
}

// fakeRig is a queue pair of the fake library that is ready to send.
type fakeRig struct {
	sys     *System
	device  *Device
	pd      *ProtectionDomain
	channel *CompletionChannel
	cq      *CompletionQueue
	qp      *QueuePair
}

func closing(t *testing.T, c interface{ Close() error }) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func newFakeRig(t *testing.T) *fakeRig {
	t.Helper()
	r := &fakeRig{sys: fakeSystem(t)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.device, err = r.sys.OpenDevice("fake0")
	must(err)
	closing(t, r.device)
	r.pd, err = r.device.AllocProtectionDomain()
	must(err)
	closing(t, r.pd)
	r.channel, err = r.device.CreateCompletionChannel()
	must(err)
	closing(t, r.channel)
	r.cq, err = r.device.CreateCompletionQueue(256, r.channel)
	must(err)
	closing(t, r.cq)
	r.qp, err = r.pd.CreateQueuePair(QueuePairConfig{MaxSend: 1, MaxReceive: 1}, r.cq, r.cq)
	must(err)
	closing(t, r.qp)
	return r
}

// ready brings the queue pair to ready-to-send, with the numbers that the fake
// library wants to see.
func (r *fakeRig) ready(t *testing.T) {
	t.Helper()
	if err := r.qp.ToInit(InitAttr{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if err := r.qp.ToReadyToReceive(ReadyToReceiveAttr{
		Address: AddressVector{Port: 1, Global: true, DestGID: GID{15: 9}}, PathMTU: MTU1024, DestNumber: 7, PSN: 8,
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.qp.ToReadyToSend(ReadyToSendAttr{Timeout: 14}); err != nil {
		t.Fatal(err)
	}
}
