// Package fsroot owns every system call that takes a path, at source and
// target. A path is resolved once, with openat2(2) and RESOLVE_BENEATH |
// RESOLVE_NO_MAGICLINKS from the fd of an export's root; from there on only
// file descriptors and single names are used. Nothing else in the project opens
// a path inside an export (a lint holds that).
//
// Names are bytes. It knows nothing of transfers.
package fsroot
