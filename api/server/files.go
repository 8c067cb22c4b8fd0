package server

import (
	"container/heap"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Looking at files. The server reads directories and metadata, never contents.

func (s *nodeService) ListFiles(ctx context.Context, req *xferv1.ListFilesRequest) (*xferv1.ListFilesResponse, error) {
	node, err := parseNode("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultFilePage, maxFilePage)
	if err != nil {
		return nil, err
	}
	dir := ""
	if len(req.GetPath()) > 0 {
		if dir, err = pathIn("path", req.GetPath()); err != nil {
			return nil, looking(err, transfer.PhaseList)
		}
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewNodeServiceClient, xferv1.NodeServiceClient.ListFiles, req); resp != nil || err != nil {
		return resp, err
	}
	at := &token{kind: tokenFiles, request: requestHash(req, callOf(ctx).Principal)}
	if req.GetPageToken() != "" {
		if at, err = parseToken("page_token", req.GetPageToken(), tokenFiles, at.request); err != nil {
			return nil, err
		}
	}
	if dir == "" {
		return s.listExports(ctx)
	}
	resp, err := s.listDir(ctx, dir, at, limit)
	return resp, looking(err, transfer.PhaseList)
}

// looking says of an error that it is of a look at files here, and not of
// either side of a transfer.
func looking(err error, at transfer.Phase) error {
	e, ok := errors.AsType[*transfer.Error](err)
	if !ok {
		return err
	}
	own := *e
	own.Side, own.Phase = "", at
	return &own
}

// allowedExports are those that the caller may read.
func (s *Server) allowedExports(ctx context.Context) []fsroot.Export {
	return slices.DeleteFunc(slices.Clone(s.cfg.Exports().List()), func(e fsroot.Export) bool {
		return s.cfg.Guard.Path(ctx, callOf(ctx).Caller, e.Path, false) != nil
	})
}

func (s *Server) listExports(ctx context.Context) (*xferv1.ListFilesResponse, error) {
	resp := &xferv1.ListFilesResponse{}
	for _, e := range s.allowedExports(ctx) {
		f, err := s.stat(ctx, e.Path, true)
		if err != nil { // one that is gone does not hide the others
			f = &xferv1.File{Path: []byte(e.Path)}
		}
		resp.Files = append(resp.Files, f)
	}
	return resp, nil
}

// listDir returns the names after the token's. A directory has no order of its
// own, so each page reads all of it and keeps only the smallest names that it
// has room for: memory is bounded by the page, and nothing is kept in between.
func (s *Server) listDir(ctx context.Context, dir string, at *token, limit int) (*xferv1.ListFilesResponse, error) {
	if err := s.cfg.Guard.Path(ctx, callOf(ctx).Caller, dir, false); err != nil {
		return nil, err
	}
	root, rel, err := s.cfg.Exports().Resolve(dir, false)
	if err != nil {
		return nil, s.lookError(ctx, err, dir)
	}
	d, err := root.OpenDir(rel)
	if errors.Is(err, syscall.ENOTDIR) { // it may be there, and something else
		return nil, &transfer.Error{Reason: transfer.SourceNotRegular, Node: s.cfg.Self, Path: dir, Err: err}
	}
	if err != nil {
		return nil, s.lookError(ctx, err, dir)
	}
	defer d.Close()
	var names nameHeap
	err = d.ReadDirBytes(func(name []byte, _ fsroot.Kind) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if string(name) <= at.text {
			return nil
		}
		if len(names) <= limit { // one more than fits: is there a next page?
			heap.Push(&names, string(name))
		} else if string(name) < names[0] {
			names[0] = string(name)
			heap.Fix(&names, 0)
		}
		return nil
	})
	if err != nil {
		return nil, s.lookError(ctx, err, dir)
	}
	slices.Sort(names)
	return filePage(names, limit, at, func(name string) (*xferv1.File, error) {
		info, err := d.Lstat(name)
		if errors.Is(err, syscall.ENOENT) {
			return nil, nil // removed meanwhile
		} else if err != nil {
			return nil, s.lookError(ctx, err, path.Join(dir, name))
		}
		f := &xferv1.File{Path: []byte(name)}
		fileOut(f, &info)
		if info.Kind == fsroot.Symlink {
			if target, err := d.Readlink(name); err == nil {
				f.Target = []byte(target)
			}
		}
		return f, nil
	})
}

// filePage looks at the first names, at most limit. That there are more is told
// by their number, not by the last one: it may be gone when it is looked at. look
// returns nil for such a name.
func filePage(names []string, limit int, at *token, look func(name string) (*xferv1.File, error)) (*xferv1.ListFilesResponse, error) {
	resp, size := &xferv1.ListFilesResponse{}, 0
	more := len(names) > limit
	for _, name := range names[:min(limit, len(names))] {
		f, err := look(name)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if size += proto.Size(f); len(resp.Files) > 0 && size > pageBytes {
				more = true
				break
			}
			resp.Files = append(resp.Files, f)
		}
		at.text = name
	}
	if more {
		resp.NextPageToken = at.String()
	}
	return resp, nil
}

// nameHeap has the largest name first.
type nameHeap []string

func (h nameHeap) Len() int           { return len(h) }
func (h nameHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h nameHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nameHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *nameHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *nodeService) StatFile(ctx context.Context, req *xferv1.StatFileRequest) (*xferv1.StatFileResponse, error) {
	node, err := parseNode("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	p, err := pathIn("path", req.GetPath())
	if err != nil {
		return nil, looking(err, transfer.PhaseStat)
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewNodeServiceClient, xferv1.NodeServiceClient.StatFile, req); resp != nil || err != nil {
		return resp, err
	}
	if err := s.cfg.Guard.Path(ctx, callOf(ctx).Caller, p, false); err != nil {
		return nil, looking(err, transfer.PhaseStat)
	}
	f, err := s.stat(ctx, p, req.GetFollow())
	if err != nil {
		return nil, looking(err, transfer.PhaseStat)
	}
	return &xferv1.StatFileResponse{File: f}, nil
}

func (s *Server) stat(ctx context.Context, p string, follow bool) (*xferv1.File, error) {
	root, rel, err := s.cfg.Exports().Resolve(p, false)
	if err != nil {
		return nil, s.lookError(ctx, err, p)
	}
	look := root.Lstat
	if follow {
		look = root.Stat
	}
	info, err := look(rel)
	if err != nil {
		return nil, s.lookError(ctx, err, p)
	}
	f := &xferv1.File{Path: []byte(p)}
	fileOut(f, &info)
	if info.Kind != fsroot.Symlink {
		return f, nil
	}
	parent, name := "", rel
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		parent, name = rel[:i], rel[i+1:]
	}
	d, err := root.OpenDir(parent)
	if err != nil {
		return nil, s.lookError(ctx, err, p)
	}
	defer d.Close()
	target, err := d.Readlink(name)
	if err != nil {
		return nil, s.lookError(ctx, err, p)
	}
	f.Target = []byte(target)
	return f, nil
}

func fileOut(f *xferv1.File, info *fsroot.Info) {
	f.Kind, f.Size, f.Allocated = fileKinds.out(info.Kind), info.Size, info.Blocks*512
	f.Mode, f.Uid, f.Gid, f.Links = info.Perm, info.UID, info.GID, info.Nlink
	f.ModifyTime = timestamppb.New(time.Unix(0, info.Mtime))
}

// lookError gives an error of fsroot its reason, which is that of a source that is
// submitted; its callers say what they were at.
func (s *Server) lookError(ctx context.Context, err error, p string) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := transfer.SourceError(err, transfer.PhaseSubmit, s.cfg.Self, p)
	switch {
	case errors.Is(err, fsroot.ErrBadPath):
		e.Reason = transfer.BadPath
	case errors.Is(err, fsroot.ErrNotExported):
		e.Reason, e.Hint = transfer.PathNotAllowed, "you may look at nothing on this node"
		var may []string
		for _, x := range s.allowedExports(ctx) {
			may = append(may, transfer.EscapePath(x.Path))
		}
		if len(may) > 0 {
			e.Hint = "exports that you may look at: " + strings.Join(may, " ")
		}
	case errors.Is(err, fsroot.ErrEscapes):
		e.Reason, e.Hint = transfer.PathEscapesRoot, "the path goes through a symbolic link that leaves the export"
	}
	return e
}
