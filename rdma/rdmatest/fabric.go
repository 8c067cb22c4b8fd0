package rdmatest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
)

// AsAsked as Options.Timeout leaves all times as the queue pairs have them.
const AsAsked time.Duration = -1

// Options of a fabric. The zero value is right for most tests.
type Options struct {
	// Timeout is the longest time that one try of a request waits for its
	// acknowledgement, and that the search for an address takes. 0 is 2 ms.
	Timeout time.Duration
	// Visible lets the race detector see the accesses of the devices.
	Visible bool
	// FreshKeys makes every registration have a key of its own. By default a
	// registration gets the key that was given back last.
	FreshKeys bool
}

// Fabric is a network of devices. Its methods may be called from any goroutine.
type Fabric struct {
	options Options

	mu          sync.Mutex // guards all state of devices but that of completion queues
	devices     []*Device
	unavailable map[string]error
	gids        map[rdma.GID]*Device // RoCE v2 addresses
	links       map[[2]*Device]*Link
	gates       []*Gate
	closed      bool

	engines sync.WaitGroup

	// Bursts that are under way, by the phase that they began in; landed is told
	// when there are no more of a phase. settling guards the change of phase.
	settling sync.Mutex
	phase    int
	flying   [2]int
	landed   *sync.Cond
}

// New returns an empty fabric. It stops at the end of the test, without a word
// on what was left open: see CheckLive. Inside a synctest bubble, make it there.
func New(t testing.TB, o Options) *Fabric {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Millisecond
	}
	f := &Fabric{options: o, unavailable: map[string]error{}, gids: map[rdma.GID]*Device{}, links: map[[2]*Device]*Link{}}
	f.landed = sync.NewCond(&f.mu)
	t.Cleanup(f.stop)
	return f
}

// stop ends all goroutines of the fabric and waits for them.
func (f *Fabric) stop() {
	f.mu.Lock()
	f.closed = true
	gates := f.gates
	f.gates = nil
	for _, d := range f.devices {
		for _, q := range d.qps {
			q.gone = true
			q.kick()
		}
	}
	f.mu.Unlock()
	for _, g := range gates {
		g.Release(syscall.EIO)
	}
	f.engines.Wait()
}

// settle makes a change of the fabric, and waits until all bursts have landed
// that had begun before.
func (f *Fabric) settle(change func()) {
	f.settling.Lock()
	defer f.settling.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	was := f.phase
	f.phase = 1 - was
	for f.flying[was] > 0 {
		f.landed.Wait()
	}
}

// cut bounds a time by Options.Timeout.
func (f *Fabric) cut(d time.Duration) time.Duration {
	if f.options.Timeout == AsAsked {
		return d
	}
	return min(d, f.options.Timeout)
}

// Unavailable makes a host one that cannot have devices, for the reason in err;
// nil takes it back.
func (f *Fabric) Unavailable(host string, err *rdma.UnavailableError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.unavailable, host)
		return
	}
	f.unavailable[host] = err
}

// Driver returns the verbs of a host, for rdma.New. A host need not have
// devices, and may get some later.
func (f *Fabric) Driver(host string) rdma.Driver { return &driver{f, host} }

type driver struct {
	f    *Fabric
	host string
}

func (d *driver) Name() string { return "rdmatest (" + d.host + ")" }

func (d *driver) Devices() ([]rdma.DeviceInfo, error) {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	if err := d.f.unavailable[d.host]; err != nil {
		return nil, err
	}
	var infos []rdma.DeviceInfo
	for _, dev := range d.f.devices {
		if dev.host == d.host && !dev.removed {
			infos = append(infos, rdma.DeviceInfo{
				Name: dev.config.Name, GUID: dev.guid, Supported: dev.config.Transport == "", Transport: cmp.Or(dev.config.Transport, "InfiniBand"),
			})
		}
	}
	return infos, nil
}

func (d *driver) OpenDevice(name string) (rdma.DriverDevice, error) {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	if err := d.f.unavailable[d.host]; err != nil {
		return nil, err
	}
	i := slices.IndexFunc(d.f.devices, func(dev *Device) bool {
		return dev.host == d.host && dev.config.Name == name && !dev.removed
	})
	if i < 0 {
		return nil, fmt.Errorf("%s: %w", name, syscall.ENODEV)
	}
	dev := d.f.devices[i]
	if err := dev.verb(VerbOpen); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	o := &opened{dev: dev, news: make(chan struct{}, 1), gone: make(chan struct{})}
	dev.contexts[o] = struct{}{}
	dev.counters.Contexts++
	return o, nil
}
