//go:build !cgo || !linux

package ibv

import (
	"context"
	"fmt"
	"syscall"
	"unsafe"
)

// Without cgo nothing can be loaded, so that no object of the types below ever
// exists.
type (
	Library struct{}
	Context struct{}
	Channel struct{}
	PD      struct{}
	CQ      struct{}
	QP      struct{}
	MR      struct{ LocalKey, RemoteKey uint32 }
)

// Built tells that Load cannot work.
func Built() bool { return false }

// Load fails with ErrNotBuilt.
func Load(string) (*Library, error) {
	return nil, fmt.Errorf("%w: built without cgo", ErrNotBuilt)
}

// Layout knows nothing without C.
func Layout() map[string]uintptr { return nil }

const errNone = syscall.ENOSYS

func (*Library) Path() string                  { return "" }
func (*Library) ForgetOptional()               {}
func (*Library) Devices() ([]Device, error)    { return nil, errNone }
func (*Library) Open(string) (*Context, error) { return nil, errNone }

func (*Context) Close() error                             { return errNone }
func (*Context) Attr() (DeviceAttr, error)                { return DeviceAttr{}, errNone }
func (*Context) Port(int) (PortAttr, error)               { return PortAttr{}, errNone }
func (*Context) GIDs() ([]GID, error)                     { return nil, errNone }
func (*Context) NextEvent(context.Context) (Event, error) { return Event{}, errNone }
func (*Context) CreateChannel() (*Channel, error)         { return nil, errNone }
func (*Context) AllocPD() (*PD, error)                    { return nil, errNone }
func (*Context) CreateCQ(int, *Channel) (*CQ, error)      { return nil, errNone }
func (*Channel) Wait(context.Context) error               { return errNone }
func (*Channel) Close() error                             { return errNone }
func (*PD) Close() error                                  { return errNone }
func (*PD) Register([]byte, uint32) (*MR, error)          { return nil, errNone }
func (*PD) CheckAddress(Address) error                    { return errNone }
func (*PD) CreateQP(*CQ, *CQ, QPCap) (*QP, QPCap, error)  { return nil, QPCap{}, errNone }
func (*MR) Close() error                                  { return errNone }
func (*CQ) RequestNotify(bool) error                      { return errNone }
func (*CQ) Poll(unsafe.Pointer, int) (int, error)         { return 0, errNone }
func (*CQ) Close() error                                  { return errNone }
func (*QP) Number() uint32                                { return 0 }
func (*QP) ToInit(int, int, uint32) error                 { return errNone }
func (*QP) ToRTR(RTR) error                               { return errNone }
func (*QP) ToRTS(RTS) error                               { return errNone }
func (*QP) ToErr() error                                  { return errNone }
func (*QP) State() (int, error)                           { return 0, errNone }
func (*QP) PostSend(unsafe.Pointer, int) (int, error)     { return 0, errNone }
func (*QP) PostReceive(unsafe.Pointer, int) (int, error)  { return 0, errNone }
func (*QP) Close() error                                  { return errNone }
