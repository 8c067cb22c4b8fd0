package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// greeting begins a connection of the attach protocol: docs/regions.md has it.
const greeting = "XFERREG1"

// answerTime bounds the wait for an answer of the daemon on the socket.
const answerTime = 10 * time.Second

// joined is what a daemon gave for one connection.
type joined struct {
	conn       *net.UnixConn
	size       int64
	generation uint64
	uid        string
	files      []*os.File // the receiver's to close
}

func (j *joined) closeAll() {
	_ = j.conn.Close()
	for _, f := range j.files {
		_ = f.Close()
	}
}

// ask sends one line, with a descriptor if there is one, and reads the answer, which
// has to come with so many descriptors.
func (c *Client) ask(ctx context.Context, line string, offered *os.File, want int) (*joined, error) {
	if id := strings.TrimSuffix(strings.TrimSuffix(line[strings.IndexByte(line, ' ')+1:], " rw"), " r"); !regionID(id) {
		return nil, attachError(xferv1.Reason_REASON_INVALID_SPEC.Name(), fmt.Sprintf("%.150q can not be the id of a region: letters, digits, and after the first «._-», at most 128", id))
	}
	if c.socket == "" {
		return nil, attachError(xferv1.Reason_REASON_INVALID_SPEC.Name(), "programs attach to regions over the unix socket of their node: dial unix:///path")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, unreachable(err)
	}
	uc := conn.(*net.UnixConn)
	j, err := converse(ctx, uc, line, offered)
	if err == nil && len(j.files) != want {
		j.closeAll()
		return nil, attachError(xferv1.Reason_REASON_PROTOCOL_ERROR.Name(), fmt.Sprintf("%d descriptors came with the answer, not %d", len(j.files), want))
	}
	if err != nil {
		_ = uc.Close()
		if e := AsError(err); e.Reason != "" { // as the text of a call has it
			e.Message = fmt.Sprintf("attach over %s: %s (%s)", c.socket, e.Message, e.Reason)
		}
		return nil, err
	}
	return j, nil
}

// regionID reports whether a region may have this id.
func regionID(id string) bool {
	for i, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// unreachable is the error of a daemon that does not answer.
func unreachable(err error) *Error {
	e := &Error{Message: "the node does not answer: " + err.Error(), ExitCode: 10, Retryable: true, Err: err}
	if errors.Is(err, os.ErrPermission) {
		e.ExitCode, e.Retryable = 11, false
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return AsError(err)
	}
	return e
}

func attachError(reason, text string) *Error { return meaning(&Error{Reason: reason, Message: text}) }

// converse is one question and its answer.
func converse(ctx context.Context, conn *net.UnixConn, line string, offered *os.File) (*joined, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	var rights []byte
	if offered != nil {
		rights = unix.UnixRights(int(offered.Fd()))
	}
	broken := func(err error) error {
		if ctx.Err() != nil {
			return AsError(ctx.Err())
		}
		return unreachable(err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte(greeting+" "+line+"\n"), rights, nil); err != nil {
		return nil, broken(err)
	}
	var text []byte
	j := &joined{conn: conn}
	for buf, oob := make([]byte, 1024), make([]byte, unix.CmsgSpace(2*4)); ; {
		n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
		j.files = append(j.files, received(oob[:oobn])...)
		if err != nil || n == 0 {
			j.closeAll()
			return nil, broken(fmt.Errorf("no answer: %w", err))
		}
		if text = append(text, buf[:n]...); text[len(text)-1] == '\n' {
			break
		}
	}
	if err := j.read(strings.TrimSuffix(string(text), "\n")); err != nil {
		j.closeAll()
		return nil, err
	}
	if ctx.Err() != nil { // its deadline may be the one that counts
		j.closeAll()
		return nil, AsError(ctx.Err())
	}
	_ = conn.SetDeadline(time.Time{})
	return j, nil
}

// read takes the line of an answer apart.
func (j *joined) read(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "error" {
		reason, text, _ := strings.Cut(rest, " ")
		return attachError(reason, text)
	}
	words := strings.Split(rest, " ")
	if verb == "ok" && len(words) == 3 {
		var err, err2 error
		j.size, err = strconv.ParseInt(words[0], 10, 64)
		j.generation, err2 = strconv.ParseUint(words[1], 10, 64)
		j.uid = words[2]
		if err == nil && err2 == nil && j.size > 0 && int64(int(j.size)) == j.size {
			return nil
		}
	}
	return attachError(xferv1.Reason_REASON_PROTOCOL_ERROR.Name(), fmt.Sprintf("the node answered %.100q", line))
}

// received returns the descriptors of a control message.
func received(oob []byte) (files []*os.File) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "region"))
		}
	}
	return files
}

// NewMemory returns sealed memory of a size, a multiple of the page size, as
// OfferRegion takes it. Close it when it was offered, or map it.
func NewMemory(size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("region", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "region")
	err = f.Truncate(size)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("sealed memory of %d bytes: %w", size, err)
	}
	return f, nil
}
