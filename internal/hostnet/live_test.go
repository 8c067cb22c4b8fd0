package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs body on a thread with its own network namespace, where /sys
// of that namespace is mounted at the given directory. The thread ends with it.
func inNamespace(t *testing.T, body func(sys string)) {
	t.Helper()
	skip := func(why string) {
		if os.Getenv("XFER_REQUIRE_RIGS") != "" {
			t.Fatalf("rig is required: %s", why)
		}
		t.Skipf("SKIP network namespace: %s", why)
	}
	if os.Geteuid() != 0 {
		skip("needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skip("needs ip(8) of iproute2")
	}
	sys := filepath.Join(t.TempDir(), "sys")
	if err := os.Mkdir(sys, 0o755); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string)
	go func() {
		why := ""
		defer func() { ended <- why }()
		runtime.LockOSThread() // and never unlock: the thread is of no other use
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			why = "unshare: " + err.Error()
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			why = "mount: " + err.Error()
			return
		}
		if err := unix.Mount("sysfs", sys, "sysfs", unix.MS_RDONLY, ""); err != nil {
			why = "sysfs: " + err.Error()
			return
		}
		body(sys)
	}()
	if why := <-ended; why != "" {
		skip(why)
	}
}

// ip runs ip(8) in the namespace of the calling thread.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v: %s", args, err, out)
	}
}

func TestLiveNamespace(t *testing.T) {
	inNamespace(t, func(sys string) {
		h := newHost(os.DirFS(sys))
		if a, err := h.DefaultAdvertise(); !errors.Is(err, ErrNoAddress) {
			t.Errorf("empty namespace advertises %v (%v)", a, err)
		}
		if _, err := h.RouteTo(netip.MustParseAddr("10.77.0.9")); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("empty namespace: %v", err)
		}
		for _, c := range []string{
			"link set lo up", "link add v0 type veth peer name v1", "addr add 10.77.0.1/24 dev v0",
			"addr add 10.77.0.7/24 dev v0", "addr add fd00:77::1/64 dev v0 nodad", "link set v0 mtu 9000 up",
			"link set v1 up", "link add w0 type veth peer name w1", "addr add 10.78.0.1/16 dev w0", "link set w0 up", "link set w1 up",
		} {
			ip(t, c)
		}
		in, err := h.ByAddr(netip.MustParseAddr("::ffff:10.77.0.7"))
		if err != nil {
			t.Error(err)
			return
		}
		if in.Name != "v0" || in.MTU != 9000 || !in.Up || in.Kind != Ethernet || in.Speed != 10e9 ||
			in.NUMANode != UnknownNUMA || len(in.Addrs) < 3 || len(in.Hardware) != 6 || in.Index == 0 {
			t.Errorf("v0 is %+v", in)
		}
		if lo, err := h.ByAddr(netip.MustParseAddr("127.0.0.1")); err != nil || lo.Kind != Loopback || lo.Speed != 0 {
			t.Errorf("lo is %+v (%v)", lo, err)
		}
		if _, err := h.ByAddr(netip.MustParseAddr("10.99.0.1")); !errors.Is(err, ErrNotLocal) {
			t.Errorf("foreign address: %v", err)
		}
		// Without a default route the first global address is told.
		if a, err := h.DefaultAdvertise(); err != nil || a.String() != "10.77.0.1" {
			t.Errorf("advertise %v (%v)", a, err)
		}
		ip(t, "route add default via 10.78.0.2")
		ip(t, "route add 10.55.0.0/16 via 10.77.0.2 src 10.77.0.7")
		ip(t, "route add unreachable 10.66.0.0/16")
		if a, err := h.DefaultAdvertise(); err != nil || a.String() != "10.78.0.1" {
			t.Errorf("advertise %v (%v)", a, err)
		}
		for dst, want := range map[string]string{
			"10.77.0.9": "10.77.0.1 ", "10.55.1.1": "10.77.0.7 10.77.0.2", "8.8.8.8": "10.78.0.1 10.78.0.2",
			"127.0.0.1": "127.0.0.1 ", "fd00:77::9": "fd00:77::1 ", "10.77.0.1": "10.77.0.1 ",
		} {
			r, err := h.RouteTo(netip.MustParseAddr(dst))
			got := r.Source.String() + " "
			if r.Gateway.IsValid() {
				got += r.Gateway.String()
			}
			if err != nil || got != want {
				t.Errorf("route to %s: %q (%v), want %q", dst, got, err, want)
			}
		}
		if _, err := h.RouteTo(netip.MustParseAddr("10.66.0.1")); err == nil {
			t.Error("an unreachable route has an answer")
		}
		if _, err := h.RDMAPorts(&in); !errors.Is(err, ErrNoRDMA) {
			t.Errorf("RDMA on a veth: %v", err)
		}
	})
}

// The host that the test runs on must be readable without any privilege.
func TestLiveHost(t *testing.T) {
	h := New()
	all, err := h.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		t.Logf("%+v", in)
		if _, err := h.RDMAPorts(&in); err != nil && !errors.Is(err, ErrNoRDMA) {
			t.Errorf("%s: %v", in.Name, err)
		}
	}
	a, err := h.DefaultAdvertise()
	t.Logf("advertise %v (%v)", a, err)
	if _, err := h.RouteTo(netip.Addr{}); err == nil {
		t.Error("route to nowhere")
	}
	if _, err := mapNetdev("lo"); err == nil {
		t.Error("the loopback interface has an RDMA device")
	}
}
