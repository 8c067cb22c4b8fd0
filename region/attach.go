package region

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fsroot"
)

// The attach protocol, on the node's unix socket. A program sends one line, and gets
// one line with descriptors:
//
//	XFERREG1 attach ID r|rw    ok SIZE GENERATION UID   with [memory, notice page]
//	XFERREG1 offer ID, [fd]    ok SIZE GENERATION UID   with [notice page]
//	                           error REASON text
//
// The connection stays open as long as the program is attached; the daemon closes it
// when the region is gone.

// Greeting is how a connection of the attach protocol begins.
const Greeting = "XFERREG1"

const (
	maxLine       = 256
	helloTimeout  = 10 * time.Second // to send the line, and to take the answer
	maxPassed     = 8                // descriptors that one message is read with
	maxAnswerText = 500
)

// attachment is a program that is attached.
type attachment struct{ conn *net.UnixConn }

// hangUp makes all connections end. The caller holds g.mu.
func (g *region) hangUp() {
	for a := range g.conns {
		_ = a.conn.SetDeadline(time.Unix(1, 0))
	}
}

// ServeConn serves a connection of a program until it ends, the region does, or ctx.
// It closes the connection. The error is for the log: nil where the program left in
// good order.
func (r *Registry) ServeConn(ctx context.Context, conn *net.UnixConn, principal string) error {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	line, files, err := readHello(conn)
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	if err != nil {
		return r.refuseConn(conn, err)
	}
	words := strings.Split(line, " ")
	switch {
	case words[0] != Greeting:
		return r.refuseConn(conn, &Error{Kind: ErrUnsupported, Err: fmt.Errorf("the version of the attach protocol that it speaks is %s, not %.20q", Greeting, words[0])})
	case len(words) == 4 && words[1] == "attach" && (words[3] == "r" || words[3] == "rw"):
		if len(files) > 0 {
			return r.refuseConn(conn, &Error{Kind: ErrFD, Err: errors.New("attach takes no descriptor")})
		}
		return r.attach(ctx, conn, principal, words[2], words[3] == "rw")
	case len(words) == 3 && words[1] == "offer":
		if len(files) != 1 {
			return r.refuseConn(conn, &Error{Kind: ErrFD, Err: fmt.Errorf("offer takes one descriptor, not %d", len(files))})
		}
		f := files[0]
		files = nil
		return r.offer(ctx, conn, principal, words[2], f)
	}
	return r.refuseConn(conn, &Error{Kind: ErrInvalid, Err: errors.New("the line is neither «attach ID r|rw» nor «offer ID»")})
}

// readHello reads the line and what descriptors came with it. Those are the caller's,
// also with an error.
func readHello(conn *net.UnixConn) (line string, files []*os.File, err error) {
	var text []byte
	buf, oob := make([]byte, maxLine), make([]byte, unix.CmsgSpace(maxPassed*4))
	for {
		n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
		more, perr := passed(oob[:oobn])
		files = append(files, more...)
		switch {
		case err != nil:
			return "", files, fmt.Errorf("read the request: %w", err)
		case perr != nil:
			return "", files, &Error{Kind: ErrInvalid, Err: perr}
		case flags&unix.MSG_CTRUNC != 0 || len(files) > 1:
			return "", files, &Error{Kind: ErrFD, Err: errors.New("more descriptors than the one of an offer")}
		case n == 0:
			return "", files, errors.New("the connection ended within the request")
		}
		text = append(text, buf[:n]...)
		if i := bytes.IndexByte(text, '\n'); i >= 0 && i == len(text)-1 {
			return string(text[:i]), files, nil
		} else if i >= 0 || len(text) > maxLine {
			return "", files, &Error{Kind: ErrInvalid, Err: fmt.Errorf("the request is not one line of at most %d bytes", maxLine)}
		}
	}
}

// passed returns the descriptors of a control message.
func passed(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue // something else, which needs no closing
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "offered"))
		}
	}
	return files, nil
}

// refuseConn answers an error.
func (r *Registry) refuseConn(conn *net.UnixConn, err error) error {
	r.stats.refuse(err)
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", " "), "")
	text = text[:min(len(text), maxAnswerText)]
	if _, werr := fmt.Fprintf(conn, "error %s %s\n", reasonOr(err), text); werr != nil {
		return errors.Join(err, werr)
	}
	return err
}

func reasonOr(err error) string {
	if r := Reason(err); r != "" {
		return r
	}
	return "INTERNAL"
}

func (r *Registry) attach(ctx context.Context, conn *net.UnixConn, principal, id string, write bool) error {
	g, err := r.find(principal, id)
	if err != nil {
		return r.refuseConn(conn, err)
	}
	a := &attachment{conn}
	memory, page, err := g.join(a, principal, write)
	if err != nil {
		return r.refuseConn(conn, err)
	}
	defer r.leave(g, a)
	return g.serve(ctx, a, memory, page)
}

// join makes a program be attached, and returns descriptors for it. The caller
// closes them.
func (g *region) join(a *attachment, principal string, write bool) (memory, page *os.File, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.usable(false); err != nil {
		return nil, nil, err
	}
	if write && !g.spec.mayWrite(principal) {
		return nil, nil, &Error{Kind: ErrDenied, ID: g.spec.ID, Err: errors.New("it may be read alone: attach with r")}
	}
	if write {
		memory, err = duplicate(g.mem.f)
	} else {
		memory, err = fsroot.ReopenReadOnly(g.mem.f)
	}
	if err == nil {
		if page, err = g.notices(); err != nil {
			_ = memory.Close()
		}
	}
	if err != nil {
		return nil, nil, memoryError(g.spec, "attach", err)
	}
	g.conns[a] = struct{}{}
	g.lease()
	return memory, page, nil
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (r *Registry) leave(g *region, a *attachment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, a)
	g.lease()
}

// serve answers with descriptors, which it closes, and waits for the end.
func (g *region) serve(ctx context.Context, a *attachment, files ...*os.File) error {
	fds := make([]int, 0, len(files))
	for _, f := range files {
		if f != nil {
			fds = append(fds, int(f.Fd()))
		}
	}
	g.mu.Lock()
	answer := fmt.Sprintf("ok %d %d %s\n", g.spec.Size, g.generation.Load(), hex.EncodeToString(g.uid[:]))
	g.mu.Unlock()
	_, _, err := a.conn.WriteMsgUnix([]byte(answer), unix.UnixRights(fds...), nil)
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("region %s: answer: %w", g.spec.ID, err)
	}
	g.mu.Lock()
	live := g.state == Ready && ctx.Err() == nil
	if live { // whoever ends the region from here on sets a deadline again
		_ = a.conn.SetDeadline(time.Time{})
	}
	g.mu.Unlock()
	if !live {
		return nil
	}
	// The end of ctx may have come between: its deadline was taken away then.
	if ctx.Err() != nil {
		return nil
	}
	// Nothing comes any more but the end. Descriptors that come all the same are
	// closed by the kernel: there is no room for them.
	var b [1]byte
	if n, _ := a.conn.Read(b[:]); n > 0 {
		return fmt.Errorf("region %s: a program that is attached has nothing to say", g.spec.ID)
	}
	return nil
}

// offer takes memory for a region that waits for it. f is ours.
func (r *Registry) offer(ctx context.Context, conn *net.UnixConn, principal, id string, f *os.File) error {
	g, err := r.find(principal, id)
	if err != nil {
		_ = f.Close()
		return r.refuseConn(conn, err)
	}
	a := &attachment{conn}
	page, err := g.revive(ctx, a, principal, f)
	if err != nil {
		return r.refuseConn(conn, err)
	}
	defer r.leave(g, a)
	return g.serve(ctx, a, page)
}

// revive gives a detached region its memory. Of one that is ready it takes the same
// memory again: another program had it too. f is closed where it is not kept.
func (g *region) revive(ctx context.Context, a *attachment, principal string, f *os.File) (page *os.File, err error) {
	kept := false
	defer func() {
		if !kept {
			_ = f.Close()
		}
	}()
	g.storing.Lock()
	defer g.storing.Unlock()
	g.mu.Lock()
	first := g.memory == (identity{})
	err = g.usable(true)
	if err == nil && (first && principal != g.spec.Principal || !g.spec.mayWrite(principal)) {
		err = &Error{Kind: ErrDenied, ID: g.spec.ID, Err: errors.New("its memory is the owner's to offer")}
	}
	ready, rec := g.state == Ready, g.record()
	g.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil { // fstat of anything else could block
		return nil, &Error{Kind: ErrFD, ID: g.spec.ID, Err: fmt.Errorf("it is no memfd: %w", err)}
	}
	who := identityOf(f, g.r.cfg.Boot)
	if !first && who != rec.Memory {
		return nil, &Error{Kind: ErrFD, ID: g.spec.ID, Err: errors.New("it is other memory than the region's")}
	}
	if !ready {
		m, err := adopt(ctx, g.spec, f)
		if err != nil {
			return nil, err
		}
		rec.Memory, rec.Ceiling = who, max(rec.Ceiling, g.generation.Load()+generationStep)
		if err := g.store(ctx, rec, g.r.cfg.Store.Update); err != nil {
			_ = unix.Munmap(m.b)
			return nil, err
		}
		g.mu.Lock()
		if err := g.usable(true); err != nil {
			g.mu.Unlock()
			_ = unix.Munmap(m.b)
			return nil, err
		}
		g.memory, g.ceiling = rec.Memory, rec.Ceiling
		kept = true
		g.place(m)
		g.mu.Unlock()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.usable(false); err != nil {
		return nil, err
	}
	if page, err = g.notices(); err != nil {
		return nil, memoryError(g.spec, "attach", err)
	}
	g.conns[a] = struct{}{}
	g.lease()
	return page, nil
}
