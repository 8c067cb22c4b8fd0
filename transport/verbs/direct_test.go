package verbs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// onFile makes chunks of memory chunks of a file.
func onFile(all []*transport.Chunk, f *os.File) []*transport.Chunk {
	for _, c := range all {
		for i := range c.Extents {
			e := &c.Extents[i]
			e.Bodies = []transport.Body{{File: f, FileOffset: e.Offset}}
		}
	}
	return all
}

// coldFile is a file with the bytes of data, which are not in the page cache.
func coldFile(t *testing.T, dir string, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(dir + "/source")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	return f
}

// A last piece that fits no alignment goes to a file as it is: past the page cache
// all but the last page, and through it where the file is too small to be worth it.
func TestD5UnalignedTail(t *testing.T) {
	needCachestat(t)
	for _, c := range []struct {
		from     int64
		unsynced bool
	}{{1, false}, {1, true}, {size + 4711, false}, {size + 4712, false}} {
		from := c.from
		t.Run(fmt.Sprintf("from %d, unsynced %v", from, c.unsynced), func(t *testing.T) {
			data := content(size + 4711)
			dir := needs.Direct(t)
			src := coldFile(t, dir, data)
			dst, err := os.Create(dir + "/f")
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			if err := dst.Truncate(int64(len(data))); err != nil {
				t.Fatal(err)
			}
			inBubble(t, setup{limits: Limits{DirectFrom: from}}, func(t *testing.T, r *rig) {
				s := newStore(len(data))
				s.file, s.unsynced = dst, c.unsynced
				e := r.connect(t, s)
				e.feed = transporttest.NewFeed(onFile(chunks(data, nil), src)...)
				if err := <-e.startFeed(t.Context()); err != nil {
					t.Error(err)
				}
				if n := e.finish(t, data, s); n != 0 {
					t.Errorf("%d chunks by another path", n)
				}
				got, err := os.ReadFile(dst.Name())
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("the file is not the source, %v", err)
				}
				_, written := r.dst.files.Bytes()
				read, _ := r.src.files.Bytes()
				t.Logf("%d bytes read and %d written past the page cache", read, written)
				if from > int64(len(data)) && read+written > 0 {
					t.Error("a small file went past the page cache")
				}
				if c.unsynced {
					if written > 0 {
						t.Error("what nobody syncs went past the page cache")
					}
					return
				}
				if want := int64(len(data)) &^ (chunkSize - 1); from == 1 && (read != want || written != want) {
					t.Errorf("want %d each", want)
				}
			})
		})
	}
}

// needCachestat ends the test where the kernel does not tell what is in the page
// cache: then nothing is read past it.
func needCachestat(t *testing.T) {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &unix.Cachestat_t{}, 0); err != nil {
		needs.Missing(t, "the kernel has no cachestat: %v", err)
	}
}

// A source that is cut short while it is read directly is a source that changed.
func TestDirectSourceIsCutShort(t *testing.T) {
	data := content(size)
	src := coldFile(t, needs.Direct(t), data)
	if err := src.Truncate(size/2 + 100); err != nil {
		t.Fatal(err)
	}
	inBubble(t, setup{limits: Limits{DirectFrom: 1}}, func(t *testing.T, r *rig) {
		s := newStore(size)
		e := r.connect(t, s)
		e.feed = transporttest.NewFeed(onFile(chunks(data, nil), src)...)
		if err := <-e.startFeed(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.close(t); err != nil {
			t.Error(err)
		}
		for _, c := range chunks(data, nil) {
			want := transport.Placed
			if c.Extents[0].End() > size/2+100 {
				want = transport.SourceShort
			}
			if v := e.feed.Verdict(t, c.Seq, 0); v.Code != want {
				t.Errorf("chunk %d: %v, %v, want %v", c.Seq, v.Code, v.Err, want)
			}
		}
	})
}
