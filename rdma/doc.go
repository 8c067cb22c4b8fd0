// Package rdma is verbs for Go: devices, protection domains, memory regions,
// completion queues and reliable-connected queue pairs, for one-sided writes
// into the memory of a peer that allowed it. It can be used on its own.
//
// It is not a transport: nothing here knows of files, chunks or connections
// over a control plane, and it has no policy. Queue pair parameters are carried
// to the peer by the caller.
//
// [Open] loads libibverbs at run time (dlopen), so that one binary runs
// everywhere; where that cannot work it says why, with an [UnavailableError].
// [New] takes any [Driver]; package rdmatest has one that needs no device, with
// faults on demand, and the suite that every driver passes.
//
// # Ownership
//
// Objects are closed by whoever made them, children first: a Close that would
// leave children behind returns [ErrBusy] and does nothing. Close of something
// closed is nil. All methods may be called from several goroutines; a call on
// something closed returns [ErrClosed]. [System.Live] lists what is open.
//
// # Memory
//
// Registered memory must not move and must outlive its registration: memory
// from mmap(2), never from the Go heap. The device reads the memory of a posted
// write until its completion was polled or its queue pair was closed, and a peer
// can write to registered memory until the queue pairs that allow it are closed.
//
// # Blocking
//
// Post and Poll never block. Everything that makes, changes or closes an object
// is a system call that can take milliseconds, or seconds on a bad day (moving a
// queue pair to ready-to-receive resolves the peer's address, and registration
// pins pages): call those from goroutines that may wait. At most [MaxBlocking]
// of them run in the kernel at a time.
//
// The facts rest on the manual pages of rdma-core, named ibv_*(3).
package rdma
