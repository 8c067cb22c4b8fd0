package scan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Assembly is where the bytes of an assembled file come from.
type Assembly struct {
	Files  []AssemblyFile
	Pieces []AssemblyPiece // by Dest, disjoint; between them the file has holes
}

// AssemblyFile is one source of an assembled file.
type AssemblyFile struct {
	At     Place
	Region Region // instead of At, for a region; it stays open until the edge ends
	Path   string // absolute, for messages
	Print  transfer.Fingerprint
}

// AssemblyPiece is a range of a source and where it goes.
type AssemblyPiece struct {
	File                 int // index of Assembly.Files
	Offset, Length, Dest int64
}

func (s *Scanner) checkPieces() error {
	if len(s.spec.Pieces) == 0 {
		return specError(s.cfg.Node, "", errors.New("there are no pieces to assemble"))
	}
	for _, p := range s.spec.Pieces {
		if p.Offset < 0 || p.Length < -1 || p.DestOffset < 0 {
			return specError(s.cfg.Node, p.Path, errors.New("a piece has a negative offset or length"))
		}
		if file, err := s.assemblyFile(p.Path); err != nil {
			return err
		} else if file.Region == nil && file.At.Name == "" {
			return specError(s.cfg.Node, p.Path, errors.New("a directory cannot be a piece"))
		}
	}
	return nil
}

// assemblyFile finds a source, without looking at it.
func (s *Scanner) assemblyFile(path string) (AssemblyFile, error) {
	f := AssemblyFile{Path: path}
	if id, ok := transfer.RegionOf(path); ok {
		if f.Region = s.cfg.Sources[id]; f.Region == nil {
			return f, specError(s.cfg.Node, path, errors.New("the region is not open"))
		}
		return f, nil
	}
	at, err := s.placeOf(path, false)
	at.Follow = s.spec.Follow
	f.At = at
	return f, err
}

// look tells of a source of an assembled file as it is now.
func (s *Scanner) look(a *AssemblyFile, phase transfer.Phase) (look, error) {
	if a.Region != nil {
		return lookAt(a.Region), nil
	}
	info, err := s.cfg.Dirs.Stat(a.At)
	if err == nil && info.Kind != fsroot.Regular {
		err = fmt.Errorf("a piece has to be of a regular file: %w", fsroot.ErrNotRegular)
		return look{}, &transfer.Error{Reason: transfer.SourceNotRegular, Side: transfer.SideSource, Phase: phase, Node: s.cfg.Node, Path: a.Path, Err: err}
	}
	if err != nil {
		return look{}, SourceError(err, phase, s.cfg.Node, a.Path)
	}
	return look{print: PrintOf(&info), meta: transfer.Meta{Perm: info.Perm, UID: info.UID, GID: info.GID, Mtime: info.Mtime}}, nil
}

// assemble yields the one entry of an assembled file.
func (s *Scanner) assemble() error {
	a := &Assembly{}
	index := make(map[string]int)
	for _, p := range s.spec.Pieces {
		if _, ok := index[p.Path]; !ok {
			file, err := s.assemblyFile(p.Path)
			if err != nil {
				return err
			}
			index[p.Path] = len(a.Files)
			a.Files = append(a.Files, file)
		}
	}
	f := Found{Entry: transfer.Entry{Parent: transfer.NoParent}, Assembly: a}
	if err := s.refreshAssembly(&f, transfer.PhaseConnect, index); err != nil {
		return err
	}
	return s.yield(&f)
}

// refreshAssembly looks at all sources and sets the entry and the pieces anew.
func (s *Scanner) refreshAssembly(f *Found, phase transfer.Phase, index map[string]int) error {
	a := &Assembly{Files: slices.Clone(f.Assembly.Files)}
	var mtime int64 // of the files: that of a region is the time when it is read
	for i := range a.Files {
		now, err := s.look(&a.Files[i], phase)
		if err != nil {
			return err
		}
		a.Files[i].Print = now.print
		if size, ok := s.sizes[a.Files[i].Path]; ok && size != now.print.Size {
			// Where its bytes belong was told, and another length has other places.
			return &transfer.Error{
				Reason: transfer.SourceChanged, Side: transfer.SideSource, Phase: phase, Node: s.cfg.Node, Path: a.Files[i].Path,
				Err: fmt.Errorf("its size changed from %d to %d", size, now.print.Size), Hint: "copy it again when nobody writes to it",
			}
		}
		if i == 0 {
			f.Meta = now.meta
		}
		f.Meta.Mtime = max(f.Meta.Mtime, now.meta.Mtime)
		if a.Files[i].Region == nil {
			mtime = max(mtime, now.meta.Mtime)
		}
	}
	if index == nil {
		index = make(map[string]int)
		for i := range a.Files {
			index[a.Files[i].Path] = i
		}
	}
	f.Size = 0
	var data int64
	for _, p := range s.spec.Pieces {
		n := index[p.Path]
		size := a.Files[n].Print.Size
		length := p.Length
		if length < 0 {
			length = size - p.Offset
		}
		if p.Offset > size || length > size-p.Offset {
			return s.beyond(&p, length, size)
		}
		if length == 0 {
			continue
		}
		if p.DestOffset > maxSize-length {
			return specError(s.cfg.Node, p.Path, fmt.Errorf("a piece of %d bytes at %d is beyond the largest file", length, p.DestOffset))
		}
		a.Pieces = append(a.Pieces, AssemblyPiece{File: n, Offset: p.Offset, Length: length, Dest: p.DestOffset})
		f.Size = max(f.Size, p.DestOffset+length)
		data += length
	}
	slices.SortFunc(a.Pieces, func(x, y AssemblyPiece) int { return int(min(1, max(-1, x.Dest-y.Dest))) })
	for i := 1; i < len(a.Pieces); i++ {
		if before := a.Pieces[i-1]; before.Dest+before.Length > a.Pieces[i].Dest {
			return specError(s.cfg.Node, a.Files[a.Pieces[i].File].Path, fmt.Errorf("two pieces overlap at %d", a.Pieces[i].Dest))
		}
	}
	f.Flags = 0
	if data < f.Size && s.spec.Preserve.Has(transfer.PreserveSparse) {
		f.Flags = transfer.EntrySparse
	}
	f.Kind, f.Assembly = transfer.KindFile, a
	f.Print = assemblyPrint(a, f.Size, mtime)
	if _, ok := s.spec.IntoRegion(); ok {
		f.Kind, f.Flags, f.Meta = transfer.KindRegion, 0, transfer.Meta{}
	}
	return nil
}

const maxSize = int64(1) << 62

// assemblyPrint stands for the fingerprints of all sources and for what is taken
// from where: another list of pieces is another version of the file.
func assemblyPrint(a *Assembly, size, mtime int64) transfer.Fingerprint {
	var h xxh3.Hasher
	var b [40]byte
	for _, f := range a.Files {
		binary.LittleEndian.PutUint64(b[0:], f.Print.Dev)
		binary.LittleEndian.PutUint64(b[8:], f.Print.Ino)
		binary.LittleEndian.PutUint64(b[16:], uint64(f.Print.Size))
		binary.LittleEndian.PutUint64(b[24:], uint64(f.Print.Mtime))
		binary.LittleEndian.PutUint64(b[32:], uint64(f.Print.Ctime))
		_, _ = h.Write(b[:])
	}
	for _, p := range a.Pieces {
		binary.LittleEndian.PutUint64(b[0:], uint64(p.File))
		binary.LittleEndian.PutUint64(b[8:], uint64(p.Offset))
		binary.LittleEndian.PutUint64(b[16:], uint64(p.Length))
		binary.LittleEndian.PutUint64(b[24:], uint64(p.Dest))
		_, _ = h.Write(b[:32])
	}
	sum := h.Sum128()
	return transfer.Fingerprint{Ino: sum.Hi, Size: size, Mtime: mtime, Ctime: int64(sum.Lo)}
}
