package rdma

import (
	"errors"
	"sync"
	"syscall"
)

// MaxBlocking is how many calls that may block run at the same time: each of
// them holds a thread.
const MaxBlocking = 8

// System is the RDMA of this machine. It needs no Close.
type System struct {
	driver Driver
	slots  chan struct{} // of blocking calls

	mu   sync.Mutex
	live map[*life]struct{}
}

// New returns the system of a driver.
func New(d Driver) *System {
	return &System{driver: d, slots: make(chan struct{}, MaxBlocking), live: map[*life]struct{}{}}
}

// Driver returns what it is made of, for people.
func (s *System) Driver() string { return s.driver.Name() }

// Devices lists the devices; see ibv_get_device_list(3). That there is none is
// an *UnavailableError with NoDevice.
func (s *System) Devices() ([]DeviceInfo, error) {
	devices, err := s.driver.Devices()
	if err == nil && len(devices) == 0 {
		err = &UnavailableError{Reason: NoDevice, Err: errors.New("no device is known to the library"),
			Hint: "if /sys/class/infiniband has one, its provider library is missing (ibverbs-providers)"}
	}
	return devices, err
}

// OpenDevice opens a device by name; see ibv_open_device(3). Blocks.
func (s *System) OpenDevice(name string) (*Device, error) {
	d := &Device{name: name}
	err := s.blocking(func() (err error) {
		d.d, err = s.driver.OpenDevice(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.born(s, "device "+name)
	return d, nil
}

// blocking runs f while fewer than MaxBlocking others run.
func (s *System) blocking(f func() error) error {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return f()
}

// verb gives an error of a driver its place and a hint.
func verb(device, name string, err error, hints map[syscall.Errno]string) error {
	if err == nil {
		return nil
	}
	e := &Error{Verb: name, Device: device, Err: err}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		e.Hint = hints[errno]
	}
	return e
}
