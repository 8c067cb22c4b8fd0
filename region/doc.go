// Package region keeps the memory that programs share with their node: sealed
// memfds with a name, an owner and a lease, into which and out of which transfers
// move bytes.
//
// A region's memory is made by the daemon, or offered by a program (foreign), and
// is handed to programs over the node's unix socket ([Registry.ServeConn]). The
// seals keep its size for good. Beside it there is a notice page that attached
// programs map read only: generation, open writes and state, with a futex word.
//
// The lease does not run while a program is attached. When it ends, or the region is
// deleted, those who use its memory are told ([Reading.Revoked]), stop, fence, and
// close; the memory is given back after the last of them. Memory that could not be
// fenced is never given back ([Writing.Quarantine]).
//
// Durable are names, rights, the torn ranges and a ceiling of the generation; not the
// memory. After a restart a region is detached until a program that still has the
// memory offers it again.
package region
