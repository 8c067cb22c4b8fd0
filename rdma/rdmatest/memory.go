package rdmatest

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/xferd/xferd/rdma"
)

// pd is a protection domain.
type pd struct{ ctx *opened }

func (o *opened) AllocProtectionDomain() (rdma.DriverPD, error) {
	defer o.unlock()
	if err := o.verb(VerbAllocPD); err != nil {
		return nil, err
	}
	o.dev.counters.ProtectionDomains++
	return &pd{o}, nil
}

func (p *pd) CheckAddress(a rdma.AddressVector) error {
	defer p.ctx.unlock()
	if err := p.ctx.verb(VerbCheckAddress); err != nil {
		return err
	}
	if _, err := p.ctx.dev.source(&a); err != nil {
		return err
	}
	if p.ctx.dev.fabric.gids[a.DestGID] == nil {
		return syscall.ETIMEDOUT
	}
	return nil
}

func (p *pd) Close() error {
	defer p.ctx.unlock()
	if err := p.ctx.verb(VerbDeallocPD); err != nil {
		return err
	}
	p.ctx.dev.counters.ProtectionDomains--
	return nil
}

// mr is a memory region. Its local and remote key are the same number.
type mr struct {
	pd     *pd
	mem    []byte
	base   uint64
	access rdma.Access
	key    uint32
	use    sync.WaitGroup // accesses under way; Add under fabric.mu, while it is in the table
}

func (p *pd) Register(mem []byte, access rdma.Access) (rdma.DriverMR, error) {
	o, d := p.ctx, p.ctx.dev
	defer o.unlock()
	if err := o.verb(VerbRegister); err != nil {
		return nil, err
	}
	if d.memory+int64(len(mem)) > d.config.MaxMemory {
		return nil, syscall.ENOMEM
	}
	m := &mr{pd: p, mem: mem, base: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))), access: access}
	if n := len(d.oldKeys); n > 0 && !d.fabric.options.FreshKeys {
		m.key, d.oldKeys = d.oldKeys[n-1], d.oldKeys[:n-1]
	} else {
		m.key = d.nextKey
		d.nextKey += 0x101
	}
	d.mrs[m.key] = m
	d.memory += int64(len(mem))
	d.counters.Memory = d.memory
	d.counters.MemoryRegions++
	return m, nil
}

func (m *mr) LocalKey() uint32  { return m.key }
func (m *mr) RemoteKey() uint32 { return m.key }

func (m *mr) Close() error {
	o, d := m.pd.ctx, m.pd.ctx.dev
	if err := o.verb(VerbDeregister); err != nil {
		o.unlock()
		return err
	}
	delete(d.mrs, m.key)
	o.unlock()
	m.use.Wait()
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	d.oldKeys = append(d.oldKeys, m.key)
	d.memory -= int64(len(m.mem))
	d.counters.Memory = d.memory
	d.counters.MemoryRegions--
	return nil
}

// slice returns the memory of [addr, addr+n) of a key, or nil where the key is
// not of the protection domain, lacks a right or is shorter. n is at least 1.
// fabric.mu is held.
func (d *Device) slice(p *pd, key uint32, addr, n uint64, need rdma.Access) (*mr, []byte) {
	m := d.mrs[key]
	if m == nil || m.pd != p || m.access&need != need || addr < m.base {
		return nil, nil
	}
	off := addr - m.base
	if off > uint64(len(m.mem)) || n > uint64(len(m.mem))-off {
		return nil, nil
	}
	return m, m.mem[off : off+n : off+n]
}

// pieces is memory in parts, whose regions cannot go while it is held.
type pieces struct {
	n   int
	mem [rdma.MaxSGE][]byte
	mrs [rdma.MaxSGE]*mr
}

func (p *pieces) add(m *mr, b []byte) {
	if m != nil {
		m.use.Add(1)
	}
	p.mem[p.n], p.mrs[p.n] = b, m
	p.n++
}

func (p *pieces) release() {
	for i := range p.n {
		if p.mrs[i] != nil {
			p.mrs[i].use.Done()
		}
		p.mem[i], p.mrs[i] = nil, nil
	}
	p.n = 0
}

// gather adds the bytes [from, to) of a list of elements, of which all are
// checked. It reports whether they are as they should be; if not, nothing is
// held. fabric.mu is held.
func (p *pieces) gather(dom *pd, sges []rdma.SGE, from, to uint64, need rdma.Access) bool {
	at := uint64(0)
	for i := range sges {
		s := &sges[i]
		if s.Length == 0 {
			continue
		}
		m, b := dom.ctx.dev.slice(dom, s.Key, s.Addr, uint64(s.Length), need)
		if m == nil {
			p.release()
			return false
		}
		lo, hi := max(from, at), min(to, at+uint64(s.Length))
		if lo < hi {
			p.add(m, b[lo-at:hi-at])
		}
		at += uint64(s.Length)
	}
	return true
}

// move copies at most limit bytes from one list of pieces to another.
func (f *Fabric) move(dst, src *pieces, limit int) int {
	moved, di, do := 0, 0, 0
	for i := range src.n {
		s := src.mem[i]
		for len(s) > 0 && di < dst.n && moved < limit {
			d := dst.mem[di][do:]
			n := min(len(s), len(d), limit-moved)
			if f.options.Visible {
				copy(d[:n], s)
			} else {
				access(d[:n], s)
			}
			s, do, moved = s[n:], do+n, moved+n
			if do == len(dst.mem[di]) {
				di, do = di+1, 0
			}
		}
	}
	return moved
}

// access copies out of sight of the race detector, as a device does.
//
//go:norace
//go:noinline
func access(dst, src []byte) { copy(dst, src) }

// damage turns one bit over, out of sight as well.
//
//go:norace
//go:noinline
func damage(b []byte) { b[len(b)/2] ^= 0x10 }
