package receiver

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

const (
	// syncFSFrom is how many files or directories one syncfs(2) is worth.
	syncFSFrom = 6
	// maxStrangers is how many bytes of others may wait for the disk for it to be
	// worth it.
	maxStrangers = 256 << 20
)

// syncFiles makes the temps of a batch durable. The first error of a file is the
// end of its temp: a second fsync proves nothing, the pages may be gone. An
// error of syncfs may be a stranger's, so the files are asked one by one; their
// descriptors have been open since before the bytes were written, so none
// misses its own.
func (e *edge) syncFiles(items []item) {
	var list []*item
	for i := range items {
		if it := &items[i]; it.err == nil && !it.skip && it.temp != nil && it.temp.f != nil {
			list = append(list, it)
		}
	}
	if len(list) >= syncFSFrom && e.r.dirty.fewOthers() && e.syncFileSystems(list) {
		return
	}
	synced := map[uint64]bool{}
	for _, it := range list {
		if err := e.r.syncTemp(it.temp.f); err != nil {
			it.err = e.entryFailure(err, transfer.PhaseWrite, &it.e)
			e.degrade(it.dir, it.err)
			continue
		}
		synced[it.dir.id.dev] = true
	}
	for _, it := range list {
		if it.err != nil {
			delete(synced, it.dir.id.dev) // not all of it
		}
	}
	for dev := range synced {
		e.r.degraded.clear(e.r, dev)
	}
}

// syncFileSystems syncs the file systems that the directories of a batch are on.
func (e *edge) syncFileSystems(list []*item) bool {
	synced := map[uint64]bool{}
	for _, it := range list {
		if synced[it.dir.id.dev] {
			continue
		}
		if err := it.dir.SyncFS(); err != nil {
			e.log.Warn("sync file system", "dir", it.dir.Path(), "error", err)
			return false
		}
		synced[it.dir.id.dev] = true
		e.r.degraded.clear(e.r, it.dir.id.dev)
	}
	return true
}

// syncDirs makes the renames of a batch durable. A file whose directory cannot
// be synced is under its name and whole, and still counts as failed: a crash may
// take it back.
func (e *edge) syncDirs(items []item) {
	var list []*item // one per directory
	seen := map[uint64]bool{}
	for i := range items {
		it := &items[i]
		if it.err == nil && !it.skip && it.task != taskMeta && !seen[it.file.dir] {
			seen[it.file.dir] = true
			list = append(list, it)
		}
	}
	if len(list) >= syncFSFrom && e.r.dirty.fewOthers() && e.syncFileSystems(list) {
		return
	}
	for _, d := range list {
		err := d.dir.Sync()
		if err == nil {
			continue
		}
		num := d.file.dir
		for i := range items {
			if it := &items[i]; it.err == nil && it.file.dir == num {
				it.err = e.entryFailure(err, transfer.PhasePublish, &it.e)
			}
		}
	}
}

// dirtyPages says how much waits to be written to disks, as of a moment ago.
type dirtyPages struct {
	mu    sync.Mutex
	asked time.Time
	few   bool
}

// fewOthers says whether syncing a whole file system is likely to write little
// that is not ours. Where the kernel does not tell, it is not.
func (d *dirtyPages) fewOthers() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked) > time.Second {
		n, ok := dirtyBytes()
		d.asked, d.few = time.Now(), ok && n < maxStrangers+maxBatchBytes
	}
	return d.few
}

func dirtyBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(b, []byte("\nDirty:"))
	if !ok {
		return 0, false
	}
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return n << 10, err == nil
}
