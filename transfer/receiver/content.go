package receiver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/xferd/xferd/transfer"
)

// digestTemp computes the digest that was asked for over a file that is complete
// and has no name yet: over what is in it, and not over what arrived.
func (e *edge) digestTemp(it *item) error {
	if it.e.Kind != transfer.KindFile || it.task == taskMeta { // digestHere read what stays
		return nil
	}
	h := e.opt.Digest.New()
	buf := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	// A publisher finishes its batch when the edge ends.
	if err := hashAll(context.WithoutCancel(e.ctx), h, buf[:], it.temp.f, it.e.Size); err != nil {
		return err
	}
	it.res.Content = string(h.Sum(nil))
	if !e.unexpected(it.file, it.res.Content) {
		return nil
	}
	return &transfer.Error{Reason: transfer.ChecksumMismatch, Side: transfer.SideTarget, Phase: transfer.PhaseVerify, Node: e.r.cfg.Node, Path: it.temp.f.Path(),
		Err:  fmt.Errorf("the %s of the file is %s, and %s was expected", e.opt.Digest, hex.EncodeToString([]byte(it.res.Content)), hex.EncodeToString(e.opt.Expected)),
		Hint: "the source is another file than the one that was meant, or was damaged before it was read"}
}

// unexpected says whether a file has not the digest that it has to have.
func (e *edge) unexpected(f *file, sum string) bool {
	return len(e.opt.Expected) > 0 && f.e.Parent == transfer.NoParent && sum != string(e.opt.Expected)
}

// digestHere does the same for a file whose content stays, in a worker.
func (e *edge) digestHere(f *file) {
	sum, same, err := e.contentHere(f)
	if same = same && !e.unexpected(f, sum); same {
		f.content = sum
	}
	e.looked(f, same, transfer.PhaseVerify, err)
}

// contentHere reads the file that is at the name. It is not the same when it is
// no longer what it was decided by.
func (e *edge) contentHere(f *file) (sum string, same bool, err error) {
	h, err := e.openHere(f)
	if h == nil || err != nil {
		return "", false, err
	}
	defer h.Close()
	buf, err := e.r.cfg.Pool.Get(e.busy, readBuffer)
	if err != nil {
		return "", false, err
	}
	defer buf.Release()
	hasher := e.opt.Digest.New()
	err = hashAll(e.busy, hasher, buf.Bytes(), h, f.e.Size)
	if errors.Is(err, errShort) {
		return "", false, nil
	}
	return string(hasher.Sum(nil)), err == nil, err
}

var errShort = errors.New("the file ends early")

// hashAll reads a file of that size from its beginning to its end.
func hashAll(ctx context.Context, h hash.Hash, buf []byte, from pread, size int64) error {
	for off := int64(0); off < size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), size-off)]
		n, err := from.Pread(b, off)
		if err != nil {
			return err
		}
		if n < len(b) {
			return errShort
		}
		_, _ = h.Write(b) // never fails
	}
	return nil
}
