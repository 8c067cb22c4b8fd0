package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/xferd/xferd/rdma"
)

// watched is a device with the goroutine that takes its events.
type watched struct {
	*rdma.Device
	gone   bool // let go; guarded by fabric.mu
	cancel context.CancelFunc
	done   chan struct{}
}

// open opens devices that are there and not open, and returns those that are.
func (f *fabric) open() ([]*watched, error) {
	infos, err := f.sys.Devices()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the node stops")
	}
	var open []*watched
	for _, i := range infos {
		if !i.Supported || len(f.allowed) > 0 && !slices.Contains(f.allowed, i.Name) {
			continue
		}
		w := f.devices[i.Name]
		if w == nil {
			d, err := f.sys.OpenDevice(i.Name)
			if err != nil {
				f.log.Warn("open RDMA device", "device", i.Name, "error", err)
				continue
			}
			w = f.watch(d)
			f.devices[i.Name] = w
		}
		open = append(open, w)
	}
	return open, nil
}

// watch starts the goroutine that takes the events of a device.
func (f *fabric) watch(d *rdma.Device) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{Device: d, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			e, err := d.NextEvent(ctx)
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, rdma.ErrClosed) {
					f.letGo(w, err, slog.LevelWarn)
				}
				return
			}
			f.log.Info("RDMA event", "device", d.Name(), "event", e.String())
			f.mu.Lock()
			hears := f.hears
			f.mu.Unlock()
			if hears != nil {
				hears(d, e)
			}
			switch e.Type {
			case rdma.EventDeviceFatal:
				f.letGo(w, errors.New("device fatal"), slog.LevelWarn)
			case rdma.EventPortError, rdma.EventGIDChange:
				// All that Linux 6.1 tells of a network device that is deleted
				// is that its addresses are.
				if _, _, err := railsOf(d); err != nil {
					f.letGo(w, err, slog.LevelInfo)
				}
			}
		}
	}()
	return w
}

// letGo has a device closed as soon as no session uses it. It is opened anew when
// a transfer asks for devices and it is there. Sessions on it go on, or fail by
// themselves. A device without a port that works is not kept open: some drivers
// cannot be taken out, nor the network device below them, while anybody has
// theirs open, and do not say that somebody wants to.
func (f *fabric) letGo(w *watched, why error, level slog.Level) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.gone || f.closed {
		return
	}
	w.gone = true
	if f.devices[w.Name()] == w {
		delete(f.devices, w.Name())
	}
	f.old[w] = struct{}{}
	f.log.Log(f.ending, level, "RDMA device is let go", "device", w.Name(), "error", why)
	f.releasing.Go(func() { f.release(w) })
}

const (
	firstRelease = 10 * time.Millisecond
	lastRelease  = time.Second
)

// release closes a device once no session uses it any more. It gives up when the
// fabric is closed, which closes what is left.
func (f *fabric) release(w *watched) {
	for wait := firstRelease; ; wait = min(2*wait, lastRelease) {
		err := w.Close() // ends its goroutine too
		if err == nil {
			break
		}
		if !errors.Is(err, rdma.ErrBusy) && wait == firstRelease {
			f.log.Warn("close RDMA device", "device", w.Name(), "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-f.ending.Done():
			timer.Stop()
			return
		}
	}
	w.cancel()
	<-w.done
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.old, w)
}

func (w *watched) end() error {
	w.cancel()
	<-w.done
	return w.Close()
}

// close closes the devices. Sessions on them are over, but for quarantined ones.
func (f *fabric) close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.releasing.Wait()
	f.mu.Lock()
	var all []*watched
	for w := range f.old {
		all = append(all, w)
	}
	for _, w := range f.devices {
		all = append(all, w)
	}
	f.old, f.devices = nil, map[string]*watched{}
	f.mu.Unlock() // events that come meanwhile take it
	var errs []error
	for _, w := range all {
		errs = append(errs, w.end())
	}
	return errors.Join(errs...)
}
