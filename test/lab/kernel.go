package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// EnvKernel names another kernel than Debian's current one: a version such as
// 6.12, the name of a package, or the path of a .deb.
const EnvKernel = "XFER_LAB_KERNEL"

const metapackage = "linux-image-amd64"

// kernel is an unpacked kernel package.
type kernel struct {
	dir     string // has boot/ and lib/modules/
	version string // as uname -r says it
}

// findKernel gets the kernel that EnvKernel asks for: from the cache, else from
// the Debian package, which is unpacked and never installed.
func findKernel(ctx context.Context, cache string, log io.Writer) (kernel, error) {
	wish := os.Getenv(EnvKernel)
	if strings.Contains(wish, "/") {
		name := strings.TrimSuffix(filepath.Base(wish), ".deb")
		return unpackKernel(ctx, cache, name, wish, log)
	}
	// The choice is kept, so that apt is asked once and the kernel stays the same.
	choice := filepath.Join(cache, "kernel-"+wish)
	if wish == "" {
		choice = filepath.Join(cache, "kernel")
	}
	if name, err := os.ReadFile(choice); err == nil {
		if k, err := openKernel(cache, string(name)); err == nil {
			return k, nil
		}
	}
	name, err := choosePackage(ctx, wish)
	if err != nil && os.Geteuid() == 0 { // apt may have no lists at all
		if _, update := command(ctx, "", "apt-get", "-q", "update"); update != nil {
			return kernel{}, errors.Join(err, update)
		}
		name, err = choosePackage(ctx, wish)
	}
	if err != nil {
		return kernel{}, err
	}
	k, err := unpackKernel(ctx, cache, name, "", log)
	if err != nil {
		return kernel{}, err
	}
	return k, os.WriteFile(choice, []byte(name), 0o644)
}

// openKernel finds a kernel in the cache. The directory appears complete.
func openKernel(cache, name string) (kernel, error) {
	dir := filepath.Join(cache, "kernels", name)
	versions, err := os.ReadDir(filepath.Join(dir, "lib", "modules"))
	if err != nil {
		return kernel{}, err
	}
	if len(versions) != 1 {
		return kernel{}, fmt.Errorf("%s has %d versions", dir, len(versions))
	}
	return kernel{dir: dir, version: versions[0].Name()}, nil
}

// useless are modules that no test needs, most of what a kernel package has.
var useless = []string{"drivers/gpu", "drivers/media", "drivers/staging", "drivers/usb", "drivers/scsi", "drivers/iio",
	"drivers/hwmon", "drivers/net/wireless", "drivers/net/ethernet", "drivers/input", "drivers/isdn", "drivers/bluetooth", "sound"}

// unpackKernel puts a package into the cache; deb is its file, or empty to get it
// by apt.
func unpackKernel(ctx context.Context, cache, name, deb string, log io.Writer) (kernel, error) {
	if k, err := openKernel(cache, name); err == nil {
		return k, nil
	}
	tmp, err := newWork(cache)
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(tmp)
	if deb == "" {
		fmt.Fprintf(log, "lab: getting %s\n", name)
		if deb, err = download(ctx, tmp, name); err != nil {
			return kernel{}, err
		}
	}
	tree := filepath.Join(tmp, "tree")
	if _, err := command(ctx, "", "dpkg-deb", "-x", deb, tree); err != nil {
		return kernel{}, err
	}
	if _, err := os.Stat(filepath.Join(tree, "lib", "modules")); err != nil { // a merged /usr
		if err := os.Rename(filepath.Join(tree, "usr", "lib"), filepath.Join(tree, "lib")); err != nil {
			return kernel{}, fmt.Errorf("%s is no kernel package: %w", name, err)
		}
	}
	versions, err := os.ReadDir(filepath.Join(tree, "lib", "modules"))
	if err != nil || len(versions) != 1 {
		return kernel{}, fmt.Errorf("%s has no modules: %w", name, errors.Join(err))
	}
	for _, sub := range useless {
		if err := os.RemoveAll(filepath.Join(tree, "lib", "modules", versions[0].Name(), "kernel", sub)); err != nil {
			return kernel{}, err
		}
	}
	if _, err := command(ctx, "", "depmod", "-b", tree, versions[0].Name()); err != nil {
		return kernel{}, err
	}
	dir := filepath.Join(cache, "kernels", name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return kernel{}, err
	}
	_ = os.RemoveAll(dir) // something broken; a good one was found above
	if err := os.Rename(tree, dir); err != nil {
		return kernel{}, err
	}
	return openKernel(cache, name)
}

var (
	packageLine = regexp.MustCompile(`(?m)^(linux-image-[0-9]\S*-amd64) `)
	dependsLine = regexp.MustCompile(`(?m)^\s*(?:Pre)?Depends: (linux-image-[0-9]\S*-amd64)\s*$`)
)

// choosePackage finds the package that has a kernel.
func choosePackage(ctx context.Context, wish string) (string, error) {
	if wish == "" {
		wish = metapackage
	}
	if strings.HasPrefix(wish, "linux-image-") {
		return realPackage(ctx, wish)
	}
	out, err := command(ctx, "", "apt-cache", "search", "--names-only", `^linux-image-[0-9].*-amd64$`)
	if err != nil {
		return "", err
	}
	var names []string
	for _, m := range packageLine.FindAllStringSubmatch(string(out), -1) {
		names = append(names, m[1])
	}
	name := newest(names, wish)
	if name == "" {
		return "", fmt.Errorf("apt sees no kernel %s here: add the release or the backports that have it to apt's sources, run apt-get update, "+
			"or set %s to a linux-image .deb; apt sees %s", wish, EnvKernel, strings.Join(ordinary(names), ", "))
	}
	return realPackage(ctx, name)
}

// realPackage follows a metapackage to the package that it depends on.
func realPackage(ctx context.Context, name string) (string, error) {
	out, err := command(ctx, "", "apt-cache", "depends", name)
	if err != nil {
		return "", err
	}
	if m := dependsLine.FindSubmatch(out); m != nil && string(m[1]) != name {
		return string(m[1]), nil
	}
	return name, nil
}

// ordinary leaves out kernels that have no rxe, or another scheduler.
func ordinary(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return strings.Contains(n, "-cloud-") || strings.Contains(n, "-rt-") || strings.Contains(n, "-dbg")
	})
}

// newest is the package with the highest version that begins with prefix, as
// whole numbers: 6.1 is not the beginning of 6.12.
func newest(names []string, prefix string) string {
	best := ""
	for _, n := range ordinary(names) {
		rest, ok := strings.CutPrefix(n, "linux-image-"+prefix)
		if !ok || rest[0] >= '0' && rest[0] <= '9' {
			continue
		}
		if best == "" || slices.Compare(numbers(n), numbers(best)) > 0 {
			best = n
		}
	}
	return best
}

// numbers are those in a name, in order: what a kernel version is made of.
func numbers(s string) []int {
	var out []int
	in := false
	for _, c := range []byte(s) {
		digit := c >= '0' && c <= '9'
		switch {
		case digit && in:
			out[len(out)-1] = out[len(out)-1]*10 + int(c-'0')
		case digit:
			out = append(out, int(c-'0'))
		}
		in = digit
	}
	return out
}

// download gets a package file. Where the lists of apt are older than the
// archive, root brings them up to date.
func download(ctx context.Context, dir, name string) (string, error) {
	get := func() error {
		args := []string{"-q", "download", name}
		if os.Geteuid() == 0 { // apt's own user cannot write here
			args = append([]string{"-o", "APT::Sandbox::User=root"}, args...)
		}
		_, err := command(ctx, dir, "apt-get", args...)
		return err
	}
	err := get()
	if err != nil && os.Geteuid() == 0 {
		if _, err := command(ctx, "", "apt-get", "-q", "update"); err != nil {
			return "", err
		}
		err = get()
	}
	if err != nil {
		return "", fmt.Errorf("%w (if apt's lists are old: apt-get update, as root)", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get download %s left %v", name, found)
	}
	return found[0], nil
}

// command runs a tool and returns what it printed. The error has what it said.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	// Debian keeps depmod and others where ordinary users do not look.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+toolPath())
	if found, err := lookTool(name); err == nil {
		cmd.Path, cmd.Err = found, nil
	}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(stderr.String(), 5))
	}
	return stdout.Bytes(), nil
}

func toolPath() string { return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin" }

// lookTool finds a program, also where only root's PATH goes.
func lookTool(name string) (string, error) {
	for _, dir := range filepath.SplitList(toolPath()) {
		if path := filepath.Join(dir, name); filepath.IsAbs(path) {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
