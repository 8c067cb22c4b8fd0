package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed guest
var guest embed.FS

// images are what a machine boots from.
type images struct {
	cache     string
	kernel    string // what QEMU loads
	initramfs string
	modules   string // the directory of all modules
	ip        string // the host's ip(8)
}

// What the initramfs loads before the host's root is there, and after it. What
// is in neither, modprobe and the kernel load from the cache when it is used.
// Those with a question mark are built in, or gone, in some kernels.
var (
	modulesFirst = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"}
	modulesLater = []string{"crc32_generic?", "veth", "virtio_net", "rdma_rxe"}
)

// prepare gets everything that a run needs. After the first time it is quick.
func prepare(ctx context.Context, log io.Writer) (images, error) {
	if err := missing(); err != nil {
		return images{}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return images{}, err
	}
	unlock, err := lock(ctx, cache, "prepare.lock")
	if err != nil {
		return images{}, err
	}
	defer unlock()
	k, err := findKernel(ctx, cache, log)
	if err != nil {
		return images{}, fmt.Errorf("the kernel of the lab: %w", err)
	}
	im := images{cache: cache, modules: filepath.Join(k.dir, "lib", "modules", k.version)}
	if im.kernel, err = k.image(ctx); err != nil {
		return images{}, err
	}
	if im.ip, err = lookTool("ip"); err != nil {
		return images{}, err
	}
	im.initramfs, err = k.initramfs(ctx, cache)
	return im, err
}

// image is what QEMU loads: the kernel as it is inside the file that a boot loader
// takes, because unpacking that costs an emulated processor seconds. Where it
// cannot be got out, it is that file.
func (k kernel) image(ctx context.Context) (string, error) {
	packed := filepath.Join(k.dir, "boot", "vmlinuz-"+k.version)
	plain := filepath.Join(k.dir, "boot", "vmlinux-"+k.version)
	if _, err := os.Stat(plain); err == nil {
		return plain, nil
	}
	data, err := os.ReadFile(packed)
	if err != nil {
		return "", err
	}
	payload, format := payload(data)
	if format == "" {
		return packed, nil
	}
	if _, err := lookTool(format); err != nil {
		return packed, nil
	}
	in := filepath.Join(k.dir, "boot", "payload")
	if err := os.WriteFile(in, payload, 0o644); err != nil {
		return "", err
	}
	defer os.Remove(in)
	out, err := command(ctx, "", format, "-dcf", in)
	if err != nil || !bytes.HasPrefix(out, []byte(elf.ELFMAG)) {
		return packed, ctx.Err()
	}
	return plain, replace(plain, out)
}

// payload finds the packed kernel in a bzImage, and the program that unpacks it.
// The offsets are those of the x86 boot protocol, 2.08 and up.
func payload(image []byte) ([]byte, string) {
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return nil, ""
	}
	start := (int(image[0x1f1])+1)*512 + int(binary.LittleEndian.Uint32(image[0x248:]))
	end := start + int(binary.LittleEndian.Uint32(image[0x24c:])) - 4 // its unpacked size follows
	if start > end || end > len(image) {
		return nil, ""
	}
	for magic, format := range map[string]string{"\xfd7zXZ": "xz", "\x28\xb5\x2f\xfd": "zstd", "\x1f\x8b": "gzip"} {
		if bytes.HasPrefix(image[start:end], []byte(magic)) {
			return image[start:end], format
		}
	}
	return nil, ""
}

// initramfs makes the archive that all machines boot from, or finds it: the name
// has what it was made of.
func (k kernel) initramfs(ctx context.Context, cache string) (string, error) {
	busybox, err := lookTool("busybox")
	if err != nil {
		return "", err
	}
	shell, err := os.ReadFile(busybox)
	if err != nil {
		return "", err
	}
	files := []cpioFile{{name: "bin/busybox", mode: 0o755, data: shell}}
	for _, applet := range []string{"sh", "mount", "insmod", "mkdir", "cp", "sleep", "switch_root"} {
		files = append(files, cpioFile{name: "bin/" + applet, link: "busybox"})
	}
	for _, dir := range []string{"dev/", "proc/", "sys/"} {
		files = append(files, cpioFile{name: dir, mode: 0o755})
	}
	scripts, err := guest.ReadDir("guest")
	if err != nil {
		return "", err
	}
	places := map[string]string{"init.sh": "init", "stage2.sh": "lab/stage2.sh"}
	for _, s := range scripts {
		text, err := guest.ReadFile("guest/" + s.Name())
		if err != nil {
			return "", err
		}
		place := places[s.Name()]
		if place == "" {
			place = "lab/bin/" + s.Name() // a helper of jobs
		}
		files = append(files, cpioFile{name: place, mode: 0o755, data: text})
	}
	h := sha256.New()
	fmt.Fprintln(h, 1, k.version, modulesFirst, modulesLater)
	h.Write(cpio(files))
	name := filepath.Join(cache, fmt.Sprintf("initramfs-%s-%x.cpio", k.version, h.Sum(nil)[:6]))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	modules, err := k.moduleFiles(ctx)
	if err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(cache, "initramfs-*.cpio")) // the pattern is good
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > 7*24*time.Hour {
			_ = os.Remove(path) // one that is still in use is made again
		}
	}
	return name, replace(name, cpio(append(files, modules...)))
}

// moduleFiles are the modules of the initramfs and the lists of their order.
func (k kernel) moduleFiles(ctx context.Context) ([]cpioFile, error) {
	var files []cpioFile
	seen := map[string]bool{}
	for _, part := range []struct {
		list  string
		names []string
	}{{"lab/load-first", modulesFirst}, {"lab/load-later", modulesLater}} {
		var order strings.Builder
		for _, name := range part.names {
			name, optional := strings.CutSuffix(name, "?")
			out, err := command(ctx, "", "modprobe", "-d", k.dir, "-S", k.version, "--show-depends", name)
			if err != nil && optional {
				continue
			} else if err != nil {
				return nil, fmt.Errorf("kernel %s cannot run the lab: %w", k.version, err)
			}
			for line := range strings.Lines(string(out)) {
				path, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod ")
				path = strings.TrimSpace(path)
				if !ok || seen[path] {
					continue // built in
				}
				seen[path] = true
				data, err := decompress(ctx, path)
				if err != nil {
					return nil, err
				}
				base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".xz"), ".zst"), ".gz")
				files = append(files, cpioFile{name: "modules/" + base, mode: 0o644, data: data})
				fmt.Fprintln(&order, base)
			}
		}
		files = append(files, cpioFile{name: part.list, mode: 0o644, data: []byte(order.String())})
	}
	return files, nil
}

// decompress reads a module. It is done here once, not in each boot.
func decompress(ctx context.Context, path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return command(ctx, "", "xz", "-dc", path)
	case ".zst":
		return command(ctx, "", "zstd", "-dcq", path)
	case ".gz":
		return command(ctx, "", "gzip", "-dc", path)
	}
	return os.ReadFile(path)
}

// withJob writes the initramfs of one run: that of all, and the run's own files.
func (im images) withJob(path string, files []cpioFile) error {
	base, err := os.ReadFile(im.initramfs)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Join([][]byte{base, cpio(files)}, nil), 0o600)
}

// replace writes a file that appears complete or not at all.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// static says whether a program needs no library, so that it runs in an initramfs.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
