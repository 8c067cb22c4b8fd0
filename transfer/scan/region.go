package scan

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/xferd/xferd/transfer"
)

// Regions gives the memory regions of this node to those who may read them.
type Regions interface {
	// Read opens a region for reading. Errors are *transfer.Error.
	Read(principal, id string) (Region, error)
}

// Region is a memory region that is open for reading. Its memory stays where it is
// until Close.
type Region interface {
	File() *os.File // the memory as a file; it belongs to the region
	Memory() []byte // all of it
	Size() int64
	UID() [16]byte
	Generation() uint64 // as of now: it rises with every write of a transfer
	// Revoked is closed when the region is about to end: whoever reads it stops,
	// and closes it.
	Revoked() <-chan struct{}
	// Pinned tells that devices have registered so many bytes of it more, or
	// (negative) less.
	Pinned(delta int64)
	Close() error
}

// Sources are the regions that an edge reads. They are open as long as it runs.
type Sources map[string]Region

// OpenSources opens the regions that pieces are of. On an error none is open.
func OpenSources(r Regions, node transfer.NodeID, principal string, pieces []transfer.Piece) (Sources, error) {
	var open Sources
	for i := range pieces {
		id, ok := transfer.RegionOf(pieces[i].Path)
		if !ok || open[id] != nil {
			continue
		}
		var g Region
		var err error
		switch refuse := (&transfer.Error{Side: transfer.SideSource, Phase: transfer.PhaseConnect, Node: node, Path: pieces[i].Path}); {
		case r == nil:
			refuse.Reason, refuse.Err = transfer.Unsupported, errors.New("this node has no memory regions")
			err = refuse
		case principal == "": // to the registry that is who may do everything
			refuse.Reason, refuse.Err = transfer.RegionNotFound, errors.New("nobody asks for it")
			err = refuse
		default:
			g, err = r.Read(principal, id)
		}
		if err != nil {
			_ = open.Close()
			return nil, err
		}
		if open == nil {
			open = Sources{}
		}
		open[id] = g
	}
	return open, nil
}

// Close closes all of them. What it returns says that memory is not given back, and
// why.
func (s Sources) Close() (err error) {
	for _, g := range s {
		err = cmp.Or(err, g.Close())
	}
	return err
}

// PrintOfRegion is the fingerprint of a region: another generation is another version
// of it. What attached programs store by themselves does not show.
func PrintOfRegion(g Region) transfer.Fingerprint {
	uid := g.UID()
	return transfer.Fingerprint{
		Dev: binary.LittleEndian.Uint64(uid[:8]), Ino: binary.LittleEndian.Uint64(uid[8:]),
		Size: g.Size(), Ctime: int64(g.Generation() & math.MaxInt64),
	}
}

// look is what there is of a source now.
type look struct {
	print transfer.Fingerprint
	meta  transfer.Meta
}

// regionPerm is what a file has that is made of a region: nobody else could read it.
const regionPerm = 0o600

func lookAt(g Region) look {
	return look{print: PrintOfRegion(g), meta: transfer.Meta{
		Perm: regionPerm, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Mtime: time.Now().UnixNano(),
	}}
}

// Pack lays out the pieces of a transfer into a region. It looks how long the sources
// are whose pieces go up to their end; from then on another size is another source.
// It is called once, before Run.
func (s *Scanner) Pack() (*transfer.Packed, error) {
	spec := *s.spec
	spec.Pieces = make([]transfer.Piece, len(s.spec.Pieces))
	copy(spec.Pieces, s.spec.Pieces)
	s.sizes = make(map[string]int64)
	for i := range spec.Pieces {
		p := &spec.Pieces[i]
		if p.Length >= 0 {
			continue
		}
		size, ok := s.sizes[p.Path]
		if !ok {
			at, err := s.assemblyFile(p.Path)
			if err != nil {
				return nil, err
			}
			now, err := s.look(&at, transfer.PhaseConnect)
			if err != nil {
				return nil, err
			}
			size = now.print.Size
			s.sizes[p.Path] = size
		}
		if p.Offset > size {
			return nil, s.beyond(p, p.Length, size)
		}
		p.Length = size - p.Offset
	}
	packed, err := transfer.Pack(spec.Pieces)
	if err != nil {
		return nil, specError(s.cfg.Node, "", err)
	}
	spec.Pieces = packed.Pieces
	s.spec = &spec
	return packed, nil
}

// beyond is a piece that a source does not have.
func (s *Scanner) beyond(p *transfer.Piece, length, size int64) *transfer.Error {
	e := specError(s.cfg.Node, p.Path, fmt.Errorf("a piece of %d bytes at %d is beyond the end of the file at %d", length, p.Offset, size))
	if _, ok := transfer.RegionOf(p.Path); ok {
		e.Reason, e.Err = transfer.RegionRange, fmt.Errorf("%d bytes from %d on are not all of the region's %d", length, p.Offset, size)
	}
	return e
}
