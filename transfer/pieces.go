package transfer

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Pieces are those of a spec. They are stored as columns: a transfer may have very many
// of them, and its record is written at every step of its life.
type Pieces []Piece

// storedPieces is the stored form. A row is four varints: which of the paths, and the
// offset, the length and the place, offset and place from where the row before ended.
type storedPieces struct {
	Paths [][]byte // names are bytes
	Rows  []byte
}

// MarshalJSON implements json.Marshaler.
func (p Pieces) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	s := storedPieces{Rows: make([]byte, 0, 8*len(p))}
	index := make(map[string]int64)
	var at, dest int64
	for i := range p {
		x := &p[i]
		k, ok := index[x.Path]
		if !ok {
			k = int64(len(s.Paths))
			index[x.Path] = k
			s.Paths = append(s.Paths, []byte(x.Path))
		}
		for _, n := range [...]int64{k, x.Offset - at, x.Length, x.DestOffset - dest} {
			s.Rows = binary.AppendVarint(s.Rows, n)
		}
		length := max(x.Length, 0)
		at, dest = x.Offset+length, x.DestOffset+length
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads the form above, and the one of earlier versions: a list.
func (p *Pieces) UnmarshalJSON(b []byte) error {
	*p = nil
	if len(b) > 0 && b[0] == '[' {
		var list []Piece
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for i := range list {
			// As package store keeps strings that are not UTF-8.
			if coded, ok := strings.CutPrefix(list[i].Path, "\x00b64:"); ok {
				raw, err := base64.StdEncoding.DecodeString(coded)
				if err != nil {
					return fmt.Errorf("path of a piece: %w", err)
				}
				list[i].Path = string(raw)
			}
		}
		*p = list
		return nil
	}
	var s *storedPieces
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	paths := make([]string, len(s.Paths))
	for i := range s.Paths {
		paths[i] = string(s.Paths[i])
	}
	list := make(Pieces, 0, len(s.Rows)/4)
	var at, dest int64
	for rows := s.Rows; len(rows) > 0; {
		var row [4]int64
		for i := range row {
			v, n := binary.Varint(rows)
			if n <= 0 {
				return errors.New("the pieces of a transfer are cut off")
			}
			row[i], rows = v, rows[n:]
		}
		if row[0] < 0 || row[0] >= int64(len(paths)) {
			return fmt.Errorf("piece %d is of path %d, of %d", len(list), row[0], len(paths))
		}
		x := Piece{Path: paths[row[0]], Offset: at + row[1], Length: row[2], DestOffset: dest + row[3]}
		length := max(x.Length, 0)
		at, dest = x.Offset+length, x.DestOffset+length
		list = append(list, x)
	}
	*p = list
	return nil
}
