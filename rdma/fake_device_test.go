package rdma

import (
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestDevicesOfALibrary(t *testing.T) {
	sys := fakeSystem(t)
	if sys.Driver() != "libfakeverbs 1.2.3" {
		t.Errorf("driver %q", sys.Driver())
	}
	got, err := sys.Devices()
	want := []DeviceInfo{
		{Name: "fake0", GUID: 0x1122334455667700, Supported: true, Transport: "InfiniBand"},
		{Name: "fake1", GUID: 0x1122334455667701, Transport: "iWARP"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	t.Setenv("FAKE_EMPTY", "1")
	if got, err := sys.Devices(); reason(err) != NoDevice {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := sys.driver.Devices(); err != nil || got == nil || len(got) > 0 {
		t.Errorf("no device is %#v, %v", got, err)
	}
}

func TestReasonsOfALibrary(t *testing.T) {
	sys := fakeSystem(t)
	for _, c := range []struct {
		knob string
		want Reason
	}{{"38", NoKernel}, {"1", NoPermission}, {"13", NoPermission}, {"12", ""}} {
		t.Run("list "+c.knob, func(t *testing.T) {
			t.Setenv("FAKE_LIST_ERRNO", c.knob)
			_, err := sys.Devices()
			_, openErr := sys.OpenDevice("fake0")
			if err == nil || reason(err) != c.want || openErr == nil || reason(openErr) != c.want {
				t.Errorf("Devices: %v, OpenDevice: %v", err, openErr)
			}
			if c.want == "" && (!errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "ibv_get_device_list")) {
				t.Error(err)
			}
		})
	}
	t.Run("open", func(t *testing.T) {
		t.Setenv("FAKE_OPEN_ERRNO", "13")
		if _, err := sys.OpenDevice("fake0"); reason(err) != NoPermission || !strings.Contains(err.Error(), "fake0") {
			t.Error(err)
		}
		t.Setenv("FAKE_OPEN_ERRNO", "5")
		if _, err := sys.OpenDevice("fake0"); reason(err) != "" || !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	})
	if _, err := sys.OpenDevice("fake9"); reason(err) != NoDevice || !strings.Contains(err.Error(), "fake9") {
		t.Error(err)
	}
}

// TestAttributesOfAnOldLibrary: the exported ibv_query_port fills only a part,
// and there is no function for the whole GID table.
func TestAttributesOfAnOldLibrary(t *testing.T) {
	d, err := fakeSystem(t).OpenDevice("fake0")
	if err != nil {
		t.Fatal(err)
	}
	closing(t, d)
	a, err := d.Attr()
	if err != nil || a.VendorID != 0x15b3 || a.Software || a.Ports != 1 || strings.Trim(a.Firmware, "x") != "" || a.Firmware == "" {
		t.Errorf("%+v, %v", a, err)
	}
	p, err := d.Port(1)
	if want := (PortAttr{Port: 1, State: PortActive, ActiveMTU: MTU2048, MaxMTU: MTU4096, GIDTableLen: 4, Speed: 100e9}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	for _, port := range []int{0, 2, 257} {
		if _, err := d.Port(port); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("port %d: %v", port, err)
		}
	}
	gids, err := d.GIDs()
	if want := []GIDEntry{{GID: GID{15: 1}, Port: 1, Index: 2}}; err != nil || !reflect.DeepEqual(gids, want) {
		t.Errorf("%+v, %v", gids, err)
	}
}

func TestObjectsOfALibrary(t *testing.T) {
	r := newFakeRig(t)
	mem, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	// The fake library gives the rights as local key, and 2 as remote key when
	// the newer function was called.
	register := func(pd *ProtectionDomain, access Access, lkey, rkey uint32) {
		t.Helper()
		m, err := pd.Register(mem, access)
		if err != nil {
			t.Fatal(err)
		}
		if m.LocalKey() != lkey || m.RemoteKey() != rkey {
			t.Errorf("access %#x: keys %#x and %#x, want %#x and %#x", access, m.LocalKey(), m.RemoteKey(), lkey, rkey)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	register(r.pd, LocalWrite|RemoteWrite, 3, 1)
	register(r.pd, LocalWrite|RelaxedOrdering, 1<<20|1, 2)

	old := fakeLibrary(t)
	old.ForgetOptional()
	d, err := New(libibverbs{old}).OpenDevice("fake0")
	if err != nil {
		t.Fatal(err)
	}
	closing(t, d)
	pd, err := d.AllocProtectionDomain()
	if err != nil {
		t.Fatal(err)
	}
	closing(t, pd)
	register(pd, LocalWrite|RelaxedOrdering, 1, 1)

	a := AddressVector{Port: 1, Global: true, SourceIndex: 2}
	if err := pd.CheckAddress(a); err != nil {
		t.Error(err)
	}
	for index, want := range map[int]error{3: syscall.ENODATA, 258: syscall.EINVAL} {
		a.SourceIndex = index
		if err := pd.CheckAddress(a); !errors.Is(err, want) {
			t.Errorf("index %d: %v", index, err)
		}
	}
	if l := r.qp.Limits(); l != (QueuePairLimits{150, 1, 1, 1, 17}) {
		t.Errorf("limits %+v", l)
	}
	if r.qp.Number() != 0x1234 {
		t.Errorf("number %#x", r.qp.Number())
	}
}

// TestCloseThatFails leaves the object open, to be closed again.
func TestCloseThatFails(t *testing.T) {
	r := newFakeRig(t)
	pd, err := r.device.AllocProtectionDomain()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAKE_DEALLOC_ERRNO", "16")
	if err := pd.Close(); !errors.Is(err, syscall.EBUSY) {
		t.Error(err)
	}
	if len(r.sys.Live()) != 6 {
		t.Errorf("open: %v", r.sys.Live())
	}
	t.Setenv("FAKE_DEALLOC_ERRNO", "")
	if err := pd.Close(); err != nil {
		t.Error(err)
	}
}
