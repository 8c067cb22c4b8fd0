package rdma

import (
	"errors"
	"sync"
	"syscall"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// Open loads libibverbs, once for the process, and returns the system of this
// machine. It fails with an *UnavailableError where the program was built without
// cgo or headers (NoCgo), or where there is no library (NoLibrary). That kernel
// or devices are missing shows in [System.Devices].
//
// The library looks at RDMAV_FORK_SAFE and other variables of the environment;
// see ibv_fork_init(3). A program that forks from C on a kernel before 5.12 sets
// it; Go itself needs nothing.
func Open() (*System, error) {
	lib, err := loadDefault()
	if err != nil {
		return nil, err
	}
	return New(libibverbs{lib}), nil
}

var loadDefault = sync.OnceValues(func() (*ibv.Library, error) { return load(ibv.DefaultLibrary) })

func load(name string) (*ibv.Library, error) {
	lib, err := ibv.Load(name)
	switch {
	case err == nil:
		return lib, nil
	case errors.Is(err, ibv.ErrNotBuilt):
		return nil, &UnavailableError{NoCgo, err, "build with CGO_ENABLED=1 and the headers of rdma-core (libibverbs-dev, rdma-core-devel)"}
	}
	return nil, &UnavailableError{NoLibrary, err, "install rdma-core (libibverbs1 and ibverbs-providers, or libibverbs)"}
}

// unavailable gives an errno of listing or opening devices its reason.
func unavailable(err error) error {
	switch {
	case errors.Is(err, ibv.ErrNoDevice):
		return &UnavailableError{NoDevice, err, ""}
	case errors.Is(err, syscall.ENOSYS):
		return &UnavailableError{NoKernel, err, "load the modules ib_uverbs and that of the device"}
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return &UnavailableError{NoPermission, err, "this user needs access to /dev/infiniband/uverbs*, in a container too"}
	}
	return err
}
