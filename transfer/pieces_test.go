package transfer_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xferd/xferd/transfer"
)

func TestPiecesAreStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p transfer.Pieces
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			p = append(p, transfer.Piece{
				Path:   rapid.SampledFrom([]string{"@a", "/b", "/not utf-8 \xff", "\x00b64:eA=="}).Draw(t, "path"),
				Offset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"), Length: rapid.Int64Range(-1, math.MaxInt64).Draw(t, "length"),
				DestOffset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "dest"),
			})
		}
		b, err := json.Marshal(struct{ P transfer.Pieces }{p})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ P transfer.Pieces }
		if err := json.Unmarshal(b, &got); err != nil || !slices.Equal(got.P, p) || (got.P == nil) != (p == nil) {
			t.Fatalf("%s became %v, %v", b, got.P, err)
		}
	})
}

// What earlier versions stored is read as well, and what is damaged is refused.
func TestPiecesOfEarlierVersions(t *testing.T) {
	for text, want := range map[string]transfer.Pieces{
		`null`: nil,
		`[]`:   {},
		`[{"Path":"/a","Offset":1,"Length":-1,"DestOffset":3},{"Path":"\u0000b64:/w==","Length":2}]`: {
			{Path: "/a", Offset: 1, Length: -1, DestOffset: 3}, {Path: "\xff", Length: 2},
		},
	} {
		var got transfer.Pieces
		if err := json.Unmarshal([]byte(text), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{`{"Paths":["QQ=="],"Rows":"AA=="}`, `{"Paths":[],"Rows":"AAAAAA=="}`, `{"Paths":["QQ=="],"Rows":"AQAAAA=="}`, `7`, `[{"Path":"\u0000b64:?"}]`} {
		var got transfer.Pieces
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s became %+v", text, got)
		}
	}
}

// 100,000 of them take about as much as they have to tell.
func TestManyPiecesAreSmall(t *testing.T) {
	p := make(transfer.Pieces, 100_000)
	for i := range p {
		p[i] = transfer.Piece{Path: "@" + strings.Repeat("r", 100), Offset: int64(i) * 8192, Length: 4096, DestOffset: int64(len(p)-i) * 8192}
	}
	b, err := json.Marshal(p)
	if err != nil || len(b) > 12*len(p) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
