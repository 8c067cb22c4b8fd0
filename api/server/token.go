package server

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/xferd/xferd/transfer"
)

// Tokens are opaque to callers. They say where to go on, nothing that gives a
// right: a forged one can at most skip something that the caller may see. They
// hold a checksum, since people cut them when they copy them.

// tokenKind tells tokens of different uses apart.
type tokenKind byte

const (
	tokenList    tokenKind = 1 + iota // page of one owner's transfers
	tokenListAll                      // page of all owners' transfers
	tokenEntries                      // page of entries
	tokenNodes                        // page of nodes
	tokenFiles                        // page of files
	tokenMarks                        // watch of transfers
	tokenNodeMark
	tokenRegions    // page of one node's regions
	tokenRegionsAll // page of all nodes' regions
)

const (
	tokenVersion = 1
	maxToken     = 4 << 20 // bytes, encoded; one of all owners of 10,000 nodes fits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// token is what can stand in one; each kind has its part of it.
type token struct {
	kind    tokenKind
	request uint64 // hash of the request that it belongs to; 0 for watches
	text    string // last node, last file, or next node
	inner   string // of another node
	number  uint64 // entries' place, or revision
	place   transfer.Position
	marks   []nodeMark
}

// nodeMark is where the watch of one owner stands: its own token, which only
// that owner reads.
type nodeMark struct{ node, token string }

// String encodes the token.
func (t *token) String() string {
	b := []byte{tokenVersion, byte(t.kind)}
	b = binary.BigEndian.AppendUint64(b, t.request)
	b = appendText(b, t.text)
	b = appendText(b, t.inner)
	b = binary.AppendUvarint(b, t.number)
	if t.place == (transfer.Position{}) {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint64(b, uint64(t.place.Created.UnixNano()))
		b = append(b, t.place.UID[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(t.marks)))
	for _, m := range t.marks {
		b = appendText(b, m.node)
		b = appendText(b, m.token)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseToken decodes a token of that kind and request.
func parseToken(field, s string, kind tokenKind, request uint64) (*token, error) {
	t, err := decodeToken(s)
	if err == nil && t.kind != kind {
		err = errors.New("it is of another call")
	}
	if err == nil && t.request != request {
		err = errors.New("it is of a call with other fields")
	}
	if err != nil {
		e := refuse(transfer.InvalidPageToken, field, "the token is not valid: %w", err)
		e.Hint = "begin anew without a token"
		return nil, e
	}
	return t, nil
}

func decodeToken(s string) (*token, error) {
	if len(s) > maxToken {
		return nil, fmt.Errorf("it has %d bytes", len(s))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 6 {
		return nil, errors.New("it is damaged")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("it is damaged")
	}
	if body[0] != tokenVersion {
		return nil, fmt.Errorf("its version is %d, that of this node %d", body[0], tokenVersion)
	}
	r := tokenReader{b: body[2:]}
	t := &token{kind: tokenKind(body[1]), request: r.fixed(), text: r.text(), inner: r.text(), number: r.uvarint()}
	if r.octet() == 1 {
		t.place.Created = time.Unix(0, int64(r.fixed()))
		copy(t.place.UID[:], r.take(uint64(len(t.place.UID))))
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		t.marks = append(t.marks, nodeMark{node: r.text(), token: r.text()})
	}
	if r.bad || len(r.b) > 0 {
		return nil, errors.New("it is damaged")
	}
	return t, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// tokenReader takes a token apart. After a mistake it is bad and gives zeros.
type tokenReader struct {
	b   []byte
	bad bool
}

func (r *tokenReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *tokenReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *tokenReader) text() string { return string(r.take(r.uvarint())) }

func (r *tokenReader) octet() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *tokenReader) fixed() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}
