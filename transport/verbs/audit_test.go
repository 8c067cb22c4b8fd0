package verbs

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
)

// audit watches what a host registers for writing by others: no byte may be
// open to writes in two protection domains of a device at a time. And it can lie:
// say that things are taken apart that are not, which is a fence that does
// nothing.
type audit struct {
	report func(format string, args ...any)
	off    bool

	polls atomic.Int64

	mu      sync.Mutex
	open    map[*auditMR]struct{}
	lies    bool
	idle    bool
	hasLied bool
}

// lie makes closing and stopping do nothing from now on, and report success.
func (a *audit) lie() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lies, a.hasLied, a.off = true, true, true
}

// writable lists what is open to writes by others: addresses with their keys.
func (a *audit) writable() map[uintptr]*auditMR {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[uintptr]*auditMR{}
	for m := range a.open {
		all[m.from] = m
	}
	return all
}

func (a *audit) lying() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lies
}

// swallow makes receives that are posted get lost from now on.
func (a *audit) swallow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = true
}

func (a *audit) swallows() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.idle
}

func (a *audit) lied() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hasLied
}

func (a *audit) add(m *auditMR) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.off {
		return
	}
	for o := range a.open {
		if o.dev == m.dev && o.pd != m.pd && o.from < m.to && m.from < o.to {
			a.report("memory %#x to %#x is open to writes in two protection domains", max(o.from, m.from), min(o.to, m.to))
		}
	}
	if a.open == nil {
		a.open = map[*auditMR]struct{}{}
	}
	a.open[m] = struct{}{}
}

func (a *audit) remove(m *auditMR) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, m)
}

type auditDriver struct {
	rdma.Driver
	a *audit
}

func (d auditDriver) OpenDevice(name string) (rdma.DriverDevice, error) {
	dev, err := d.Driver.OpenDevice(name)
	if err != nil {
		return nil, err
	}
	return &auditDevice{dev, d.a}, nil
}

type auditDevice struct {
	rdma.DriverDevice
	a *audit
}

func (d *auditDevice) AllocProtectionDomain() (rdma.DriverPD, error) {
	pd, err := d.DriverDevice.AllocProtectionDomain()
	if err != nil {
		return nil, err
	}
	return &auditPD{pd, d}, nil
}

func (d *auditDevice) CreateCompletionQueue(depth int, c rdma.DriverChannel) (rdma.DriverCQ, error) {
	q, err := d.DriverDevice.CreateCompletionQueue(depth, c)
	if err != nil {
		return nil, err
	}
	return &auditCQ{q, d.a}, nil
}

// auditCQ counts how often somebody looks for completions.
type auditCQ struct {
	rdma.DriverCQ
	a *audit
}

func (q *auditCQ) Poll(wcs []rdma.WorkCompletion) (int, error) {
	q.a.polls.Add(1)
	return q.DriverCQ.Poll(wcs)
}

type auditPD struct {
	rdma.DriverPD
	dev *auditDevice
}

func (p *auditPD) Register(mem []byte, access rdma.Access) (rdma.DriverMR, error) {
	mr, err := p.DriverPD.Register(mem, access)
	if err != nil {
		return nil, err
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	m := &auditMR{DriverMR: mr, dev: p.dev, pd: p, from: from, to: from + uintptr(len(mem))}
	if access&rdma.RemoteWrite != 0 {
		p.dev.a.add(m)
	}
	return m, nil
}

func (p *auditPD) CreateQueuePair(c rdma.QueuePairConfig, send, receive rdma.DriverCQ) (rdma.DriverQP, rdma.QueuePairLimits, error) {
	q, l, err := p.DriverPD.CreateQueuePair(c, send.(*auditCQ).DriverCQ, receive.(*auditCQ).DriverCQ)
	if err != nil {
		return nil, l, err
	}
	return &auditQP{q, p.dev.a}, l, nil
}

type auditMR struct {
	rdma.DriverMR
	dev      *auditDevice
	pd       *auditPD
	from, to uintptr
}

func (m *auditMR) Close() error {
	if m.dev.a.lying() {
		return nil
	}
	err := m.DriverMR.Close()
	if err == nil {
		m.dev.a.remove(m)
	}
	return err
}

type auditQP struct {
	rdma.DriverQP
	a *audit
}

func (q *auditQP) ToError() error {
	if q.a.lying() {
		return nil
	}
	return q.DriverQP.ToError()
}

func (q *auditQP) Close() error {
	if q.a.lying() {
		return nil
	}
	return q.DriverQP.Close()
}

func (q *auditQP) PostReceive(rs []rdma.ReceiveRequest) (int, error) {
	if q.a.swallows() {
		return len(rs), nil
	}
	return q.DriverQP.PostReceive(rs)
}

// The audit sees what it is there for, and sessions that share a pool, one after
// the other and side by side, do not do it.
func TestAuditSeesASlotInTwoDomains(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		reports := 0
		r.dst.audit.report = func(string, ...any) { reports++ }
		mem := rdmatest.Memory(t, 3*4096)
		var pds []*rdma.ProtectionDomain
		for range 2 {
			pd, err := r.dst.devices[0].AllocProtectionDomain()
			if err != nil {
				t.Fatal(err)
			}
			pds = append(pds, pd)
		}
		register := func(pd *rdma.ProtectionDomain, from, to int, a rdma.Access) *rdma.MemoryRegion {
			m, err := pd.Register(mem[from:to], a)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		const writable = rdma.LocalWrite | rdma.RemoteWrite
		regions := []*rdma.MemoryRegion{
			register(pds[0], 0, 4096, writable), register(pds[0], 0, 8192, writable), // one domain: no harm
			register(pds[1], 8192, 3*4096, writable), register(pds[1], 0, 4096, 0),
		}
		if reports != 0 {
			t.Errorf("%d reports of what is allowed", reports)
		}
		if regions = append(regions, register(pds[1], 8191, 8193, writable)); reports != 1 {
			t.Errorf("%d reports, want one", reports)
		}
		for _, m := range regions {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, pd := range pds {
			if err := pd.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
