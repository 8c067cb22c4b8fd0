//go:build cgo && linux

package ibv

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// Library is a loaded libibverbs. It stays loaded: providers keep state.
type Library struct {
	v    *C.struct_xferv
	path string
}

// Built tells whether Load can work at all in this build.
func Built() bool { return C.xferv_headers() != 0 }

// Load loads the library with dlopen(3). Load once: what is loaded stays.
func Load(name string) (*Library, error) {
	if !Built() {
		return nil, fmt.Errorf("%w: infiniband/verbs.h was missing", ErrNotBuilt)
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var buf [4096]C.char
	l := &Library{v: C.xferv_load(cname, &buf[0], C.size_t(len(buf)))}
	if l.v == nil {
		return nil, errors.New(C.GoString(&buf[0]))
	}
	C.xferv_path(l.v, &buf[0], C.size_t(len(buf)))
	l.path = C.GoString(&buf[0])
	return l, nil
}

// Path is where the library lies, links resolved. Its name ends in the version.
func (l *Library) Path() string { return l.path }

// ForgetOptional makes the library look like one from before the optional
// functions. For tests.
func (l *Library) ForgetOptional() { C.xferv_forget_optional(l.v) }

// fail makes an error of the 0-or-negative-errno convention.
func fail(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	return syscall.Errno(-rc)
}

// Devices lists the devices; an error is an errno.
func (l *Library) Devices() (devices []Device, err error) {
	err = l.list(func(list unsafe.Pointer, n int) error {
		devices = make([]Device, n)
		for i := range devices {
			devices[i] = l.device(list, i)
		}
		return nil
	})
	return devices, err
}

func (l *Library) list(f func(list unsafe.Pointer, n int) error) error {
	var n, e C.int
	list := C.xferv_devices(l.v, &n, &e)
	if list == nil {
		return syscall.Errno(e)
	}
	defer C.xferv_free_devices(l.v, list)
	return f(list, int(n))
}

func (l *Library) device(list unsafe.Pointer, i int) Device {
	var d C.struct_xferv_device
	C.xferv_device_at(l.v, list, C.int(i), &d)
	return Device{Name: C.GoString(&d.name[0]), GUID: uint64(d.guid), Transport: int(d.transport)}
}

// Open opens a device by name: ErrNoDevice, or an errno.
func (l *Library) Open(name string) (c *Context, err error) {
	err = l.list(func(list unsafe.Pointer, n int) error {
		for i := range n {
			if l.device(list, i).Name != name {
				continue
			}
			var e C.int
			p := C.xferv_open(l.v, list, C.int(i), &e)
			if p == nil {
				return syscall.Errno(e)
			}
			c, err = newContext(l, p, name)
			return err
		}
		return ErrNoDevice
	})
	return c, err
}

// Layout returns sizes and offsets of the flat records, as C has them.
func Layout() map[string]uintptr {
	var (
		sge  C.struct_xferv_sge
		send C.struct_xferv_send
		recv C.struct_xferv_recv
		wc   C.struct_xferv_wc
	)
	return map[string]uintptr{
		"SGE": unsafe.Sizeof(sge), "SGE.Addr": unsafe.Offsetof(sge.addr), "SGE.Length": unsafe.Offsetof(sge.length), "SGE.Key": unsafe.Offsetof(sge.key),

		"SendRequest": unsafe.Sizeof(send), "SendRequest.ID": unsafe.Offsetof(send.id), "SendRequest.RemoteAddr": unsafe.Offsetof(send.remote_addr),
		"SendRequest.RemoteKey": unsafe.Offsetof(send.remote_key), "SendRequest.Imm": unsafe.Offsetof(send.imm), "SendRequest.Op": unsafe.Offsetof(send.op),
		"SendRequest.Flags": unsafe.Offsetof(send.flags), "SendRequest.NumSGE": unsafe.Offsetof(send.num_sge), "SendRequest.SGE": unsafe.Offsetof(send.sge),

		"ReceiveRequest": unsafe.Sizeof(recv), "ReceiveRequest.ID": unsafe.Offsetof(recv.id), "ReceiveRequest.NumSGE": unsafe.Offsetof(recv.num_sge),
		"ReceiveRequest.SGE": unsafe.Offsetof(recv.sge),

		"WorkCompletion": unsafe.Sizeof(wc), "WorkCompletion.ID": unsafe.Offsetof(wc.id), "WorkCompletion.Status": unsafe.Offsetof(wc.status),
		"WorkCompletion.Op": unsafe.Offsetof(wc.op), "WorkCompletion.VendorError": unsafe.Offsetof(wc.vendor_err), "WorkCompletion.Bytes": unsafe.Offsetof(wc.bytes),
		"WorkCompletion.Imm": unsafe.Offsetof(wc.imm), "WorkCompletion.QueuePair": unsafe.Offsetof(wc.qp), "WorkCompletion.Flags": unsafe.Offsetof(wc.flags),
	}
}
