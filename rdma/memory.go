package rdma

import (
	"fmt"
	"syscall"
	"unsafe"
)

// ProtectionDomain ties memory regions and queue pairs together: neither works
// with those of another domain.
type ProtectionDomain struct {
	life
	d   DriverPD
	dev *Device
}

// Register makes memory known to the device and pins it; see ibv_reg_mr(3). mem
// comes from mmap(2): anonymous memory, a memfd, tmpfs or hugetlbfs. Mappings
// of other files are refused by newer kernels (EFAULT) and unsafe on older ones.
// The memory stays the caller's, who keeps it mapped until the region is closed.
// Pins count against RLIMIT_MEMLOCK, again for each domain. Blocks.
func (p *ProtectionDomain) Register(mem []byte, access Access) (*MemoryRegion, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	switch {
	case len(mem) == 0:
		return nil, fmt.Errorf("%w: no memory to register", errAttr)
	case access&^accessOfMemory != 0, access&RemoteWrite != 0 && access&LocalWrite == 0:
		return nil, fmt.Errorf("%w: access %#x of memory", errAttr, access)
	}
	m := &MemoryRegion{dev: p.dev, mem: mem}
	err := p.sys.blocking(func() (err error) {
		m.d, err = p.d.Register(mem, access)
		return err
	})
	if err != nil {
		return nil, verb(p.dev.name, "ibv_reg_mr", err, hintRegister)
	}
	m.born(p.sys, "memory region", &p.life)
	return m, nil
}

// CheckAddress proves that an address works on this machine: that its entry of
// the GID table is alive; see ibv_create_ah(3). Blocks.
func (p *ProtectionDomain) CheckAddress(a AddressVector) error {
	if err := a.check(); err != nil {
		return err
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	err := p.sys.blocking(func() error { return p.d.CheckAddress(a) })
	return verb(p.dev.name, "ibv_create_ah", err, hintAddress)
}

// Close ends the domain; see ibv_dealloc_pd(3).
func (p *ProtectionDomain) Close() error {
	return p.end(func() error {
		return verb(p.dev.name, "ibv_dealloc_pd", p.sys.blocking(p.d.Close), nil)
	})
}

// MemoryRegion is registered memory.
type MemoryRegion struct {
	life
	d   DriverMR
	dev *Device
	mem []byte
}

// Bytes is the memory.
func (m *MemoryRegion) Bytes() []byte { return m.mem }

// Addr of the first byte, as work requests of both ends name it.
func (m *MemoryRegion) Addr() uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m.mem)))) }

// LocalKey is for the elements of own work requests.
func (m *MemoryRegion) LocalKey() uint32 { return m.d.LocalKey() }

// RemoteKey is what a peer needs, with Addr, to get at the memory. It is hardly
// a secret: a new registration can have the same one.
func (m *MemoryRegion) RemoteKey() uint32 { return m.d.RemoteKey() }

// Element returns the element for n bytes from offset on.
func (m *MemoryRegion) Element(offset, n int) SGE {
	_ = m.mem[offset : offset+n]
	return SGE{Addr: m.Addr() + uint64(offset), Length: uint32(n), Key: m.LocalKey()}
}

// Close deregisters the memory; see ibv_dereg_mr(3). On an error the memory must
// not be freed: the device may still use it. Blocks.
func (m *MemoryRegion) Close() error {
	return m.end(func() error {
		return verb(m.dev.name, "ibv_dereg_mr", m.sys.blocking(m.d.Close), nil)
	})
}

var (
	hintObjects = map[syscall.Errno]string{
		syscall.ENOMEM: "memory, RLIMIT_MEMLOCK, the rdma cgroup or a limit of the device",
		syscall.EAGAIN: "the rdma cgroup",
	}
	hintRegister = map[syscall.Errno]string{
		syscall.ENOMEM: "RLIMIT_MEMLOCK is too small (systemd: LimitMEMLOCK=infinity), or the device is at its limit",
		syscall.EPERM:  "locking memory is not allowed (RLIMIT_MEMLOCK is 0)",
		syscall.EFAULT: "the memory is a mapping of a file, or cannot be written",
	}
	hintAddress = map[syscall.Errno]string{
		syscall.EINVAL:    "the entry of the GID table is empty or gone",
		syscall.ENODATA:   "the entry of the GID table is empty",
		syscall.ETIMEDOUT: "nobody answers at the peer's address",
	}
)
