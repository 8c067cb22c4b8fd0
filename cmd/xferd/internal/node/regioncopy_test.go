package node

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/test/needs"
)

// region makes a region of node i, for everybody, with the bytes b.
func (p *pair) region(t testing.TB, i int, id string, b []byte) {
	t.Helper()
	all := []string{region.Everybody}
	if _, err := p.nodes[i].regions.Create(context.Background(), region.Spec{ID: id, Principal: "uid:0", Size: int64(len(b)), Readers: all, Writers: all}); err != nil {
		t.Fatal(err)
	}
	p.memory(t, i, id, func(mem []byte) { copy(mem, b) })
}

func (p *pair) memory(t testing.TB, i int, id string, f func(mem []byte)) {
	t.Helper()
	g, err := p.nodes[i].regions.Read("uid:0", id)
	if err != nil {
		t.Fatal(err)
	}
	f(g.Memory())
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

func regionSource(id string, offset int64, length *int64) *xferv1.Source {
	return &xferv1.Source{Source: &xferv1.Source_Region{Region: &xferv1.RegionSource{RegionId: id, Offset: offset, Length: length}}}
}

func regionDestination(id string, offset int64) *xferv1.Destination {
	return &xferv1.Destination{Destination: &xferv1.Destination_Region{Region: &xferv1.RegionDestination{RegionId: id, Offset: offset}}}
}

func (p *pair) transfer(t testing.TB, spec *xferv1.TransferSpec) *xferv1.Transfer {
	t.Helper()
	ctx := context.Background()
	tr, err := p.client.Submit(ctx, "", spec)
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.client.Wait(ctx, tr.GetName())
	if err == nil {
		err = client.TransferError(done)
	}
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func bytesOf(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12)*7 + byte(i)*3 + seed
	}
	return b
}

// A region and a file go into a region of another node, and a region into a file,
// over each of the transports, and inside one node.
func TestRegionsBetweenTwoNodes(t *testing.T) {
	for _, name := range []string{"tcp", "rdma", "local"} {
		t.Run(name, func(t *testing.T) {
			var fabrics []*rdma.System
			if name == "rdma" {
				local, err := hostnet.New().DefaultAdvertise()
				if err != nil {
					needs.Missing(t, "no address that can be routed: %v", err)
				}
				fabric := rdmatest.New(t, rdmatest.Options{})
				fabric.Device("host", rdmatest.DeviceConfig{Name: "fake0", Addrs: []string{local.String()}})
				fabrics = []*rdma.System{rdma.New(fabric.Driver("host")), rdma.New(fabric.Driver("host"))}
			}
			const size = 9 << 20
			dir := t.TempDir()
			p := newPair(t, dir, fabrics...)
			to := 1
			if name == "local" {
				to = 0
			}
			spec := func(src *xferv1.Source, dst *xferv1.Destination) *xferv1.TransferSpec {
				return &xferv1.TransferSpec{SourceNode: "n1", Sources: []*xferv1.Source{src}, TargetNode: []string{"n1", "n2"}[to], Destination: dst}
			}
			a := bytesOf(size, 1)
			p.region(t, 0, "a", a)
			p.region(t, to, "b", make([]byte, size))
			done := p.transfer(t, spec(regionSource("a", 5, new(int64(size-5000))), regionDestination("b", 4099)))
			if got := done.GetDataPath().GetTransport(); got != name {
				t.Errorf("it went over %s", got)
			}
			// In place: no byte goes through memory of xferd, at neither end.
			if d := done.GetDataPath(); name == "rdma" && d.GetSource().GetCopiedBytes()+d.GetTarget().GetCopiedBytes() != 0 {
				t.Errorf("bytes were copied: %v", d)
			}
			if got := done.GetDataPath().GetVerify(); got != "wire" {
				t.Errorf("it was verified by %s", got)
			}
			want := make([]byte, size)
			copy(want[4099:], a[5:size-5000+5])
			check := func(what string) {
				t.Helper()
				p.memory(t, to, "b", func(mem []byte) {
					if !bytes.Equal(mem, want) {
						t.Errorf("%s: the region is another one", what)
					}
				})
			}
			check("region to region")
			info, err := p.nodes[to].regions.Get("uid:0", "b")
			if err != nil || done.GetGeneration() != info.Generation || info.Generation == 0 || len(info.Torn) > 0 || info.OpenWrites > 0 {
				t.Errorf("generation %d of %+v, %v", done.GetGeneration(), info, err)
			}
			if c := done.GetCounters(); c.GetFilesCopied() != 1 || c.GetBytesDone() != size-5000 || c.GetBytesTotal() != size-5000 {
				t.Errorf("counters %v", c)
			}

			file := filepath.Join(dir, "n1", "f")
			f := bytesOf(3<<20+7, 9)
			if err := os.WriteFile(file, f, 0o644); err != nil {
				t.Fatal(err)
			}
			src := &xferv1.Source{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(file)}}}
			next := p.transfer(t, spec(src, regionDestination("b", 1<<20)))
			copy(want[1<<20:], f)
			check("file to region")
			if next.GetGeneration() != done.GetGeneration()+1 {
				t.Errorf("generation %d after %d", next.GetGeneration(), done.GetGeneration())
			}

			// Many pieces, in another order, with gaps that stay as they are.
			pieces := &xferv1.Pieces{Regions: []string{"a"}}
			const n, length = 3000, 701
			for i := range int64(n) {
				k := i * 1777 % n
				pieces.PathIndex, pieces.Length = append(pieces.PathIndex, 0), append(pieces.Length, length)
				pieces.Offset, pieces.DestOffset = append(pieces.Offset, i*1001+1), append(pieces.DestOffset, k*1003+3)
				copy(want[17+k*1003+3:], a[i*1001+1:][:length])
			}
			many := spec(nil, regionDestination("b", 17))
			many.Mode, many.Sources, many.Pieces = xferv1.Mode_MODE_ASSEMBLE, nil, pieces
			if got := p.transfer(t, many); got.GetDataPath().GetTransport() != name || got.GetCounters().GetBytesDone() != n*length {
				t.Errorf("pieces: %v %v", got.GetDataPath(), got.GetCounters())
			}
			check("pieces")

			out := filepath.Join(dir, []string{"n1", "n2"}[to], "out")
			p.transfer(t, spec(regionSource("a", 0, nil), &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(out)}}))
			b, err := os.ReadFile(out)
			st, serr := os.Stat(out)
			if err != nil || serr != nil || !bytes.Equal(b, a) || st.Mode() != 0o600 {
				t.Errorf("region to file: %d bytes, %v %v", len(b), st.Mode(), err)
			}
		})
	}
}

// BenchmarkDescriptors is a transfer of very many pieces, for profiles.
func BenchmarkDescriptors(b *testing.B) {
	const n, each = 100_000, 2048
	p := newPair(b, b.TempDir())
	p.region(b, 0, "a", make([]byte, n*each*2))
	p.region(b, 1, "b", make([]byte, n*each*2))
	pieces := &xferv1.Pieces{Regions: []string{"a"}}
	for i := range int64(n) {
		pieces.PathIndex = append(pieces.PathIndex, 0)
		pieces.Offset = append(pieces.Offset, i*each*2)
		pieces.Length = append(pieces.Length, each)
		pieces.DestOffset = append(pieces.DestOffset, (i*77_777%n)*each*2)
	}
	spec := &xferv1.TransferSpec{Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", Pieces: pieces, TargetNode: "n2", Destination: regionDestination("b", 0)}
	b.SetBytes(n * each)
	for b.Loop() {
		p.transfer(b, spec)
	}
}
