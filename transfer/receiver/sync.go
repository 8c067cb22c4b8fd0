package receiver

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

const (
	// syncFSFrom is how many files or directories one syncfs(2) is worth.
	syncFSFrom = 6
	// maxStrangers is how many bytes of others may wait for the disk for it to be
	// worth it.
	maxStrangers = 256 << 20
)

// fsErrors counts the syncs of whole file systems that failed in an edge. The kernel
// tells such an error once to each open description, and an edge has one for each
// directory, which its publishers share: the one that asks first takes the error of a
// file that is another's. So after one each file and directory is asked by itself that
// was being written then.
type fsErrors struct {
	mu sync.RWMutex // read: a sync is under way, which counts before it ends
	n  atomic.Uint64
}

// seen returns how many there were. Those that are under way do not count.
func (x *fsErrors) seen() uint64 { return x.n.Load() }

// settled waits for the syncs that are under way and returns how many failed.
func (x *fsErrors) settled() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.n.Load()
}

// sync syncs the file system that a directory is on.
func (x *fsErrors) sync(d *fsroot.Dir) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	err := d.SyncFS()
	if err != nil {
		x.n.Add(1)
	}
	return err
}

// syncFiles makes the temps of a batch durable. The first error of a file is the
// end of its temp: a second fsync proves nothing, the pages may be gone. An
// error of syncfs may be a stranger's, so the files are asked one by one; their
// descriptors have been open since before the bytes were written, so none
// misses its own. No error of syncfs does not mean that there was none, see fsErrors:
// each file is then asked without another flush.
func (e *edge) syncFiles(items []item) {
	var list []*item
	for i := range items {
		if it := &items[i]; it.err == nil && !it.skip && it.temp != nil && it.temp.f != nil {
			list = append(list, it)
		}
	}
	ask := e.r.syncTemp
	if len(list) >= syncFSFrom && e.r.dirty.fewOthers() && e.syncFileSystems(list) {
		ask = (*fsroot.File).Written
	}
	failed := e.fsErrors.settled()
	synced := map[uint64]bool{}
	for _, it := range list {
		each := ask
		if it.temp.born != failed {
			each = e.r.syncTemp
		}
		if err := each(it.temp.f); err != nil {
			it.temp.lies = true
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
		if err := e.fsErrors.sync(it.dir.Dir); err != nil {
			e.log.Warn("sync file system", "dir", it.dir.Path(), "error", err)
			return false
		}
		synced[it.dir.id.dev] = true
	}
	return true
}

// syncDirs makes the renames of a batch durable. A file whose directory cannot
// be synced is under its name and whole, and still counts as failed: a crash may
// take it back. failed is what fsErrors had seen before the first rename.
func (e *edge) syncDirs(items []item, failed uint64) {
	var list []*item // one per directory
	seen := map[uint64]bool{}
	for i := range items {
		it := &items[i]
		if it.err == nil && !it.skip && it.task != taskMeta && !seen[it.file.dir] {
			seen[it.file.dir] = true
			list = append(list, it)
		}
	}
	if len(list) >= syncFSFrom && e.r.dirty.fewOthers() && e.syncFileSystems(list) && e.fsErrors.settled() == failed {
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
