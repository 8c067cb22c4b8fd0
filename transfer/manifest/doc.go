// Package manifest is the list of what a transfer moves, as bytes: the codec of
// [transfer.Entry] and [transfer.Result], which is the same on the wire and on
// disk, and [Log], the numbered list of entries of one transfer, kept on disk
// so that a million entries take no memory.
//
// Everything that is decoded is checked: names are one component, numbers fit,
// sizes are possible, and there is one encoding only for each value. The
// encoding is frozen by golden files; a change of it is a new version of the
// protocol and of the state.
package manifest
