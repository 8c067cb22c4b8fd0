// Package scan finds what there is at the source: it walks the sources of a
// Spec and yields the manifest's entries in order, each with the place where
// its source is. A parent comes before its children, a directory's children are
// contiguous and end with KindEndDir.
//
// It streams: a directory's names are never held, only the directories that
// are still to be read are. It reads no file content, sends nothing, and decides
// nothing about the destination.
package scan
