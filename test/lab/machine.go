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
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is one QEMU. Two goroutines belong to it; done is closed after both.
type machine struct {
	role    string
	started time.Time
	done    chan struct{}
	exited  chan struct{}        // closed when the command's exit code is known
	console string               // the file of the serial console: the kernel's last words
	host    func(words []string) // does what the guest asks of the host

	mu     sync.Mutex
	proc   *os.Process // nil before QEMU runs
	stop   bool        // somebody ended it
	output bytes.Buffer
	code   int
	phases []Phase
	broken string // what the guest says about why it cannot run the command
	err    error  // why QEMU ended, where nobody ended it
}

// boot starts a machine. It ends with ctx, with end, or by itself. After an error
// nothing of it is left, and done is still open.
func (r *Running) boot(ctx context.Context, m *machine, job Job, images images, links []*os.File, out io.Writer) error {
	dir := filepath.Join(r.work, m.role)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	m.console = filepath.Join(dir, "serial")
	initrd := filepath.Join(dir, "initrd")
	if err := images.withJob(initrd, []cpioFile{
		{name: "lab/settings", mode: 0o644, data: []byte(job.settings(m.role, r.token, images))},
		{name: "lab/job.sh", mode: 0o644, data: []byte(job.script(m.role))},
	}); err != nil {
		return err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")
	sink, flush := out, func() {}
	if job.VMs == 2 {
		l := &labelled{label: m.role + "| ", out: out}
		sink, flush = l, func() { _ = l.Close() }
	}
	args := m.arguments(job, images, initrd, r.out, len(links))
	read := make(chan struct{})
	started := make(chan error, 1)
	m.started = time.Now()
	go func() { // reads what the machine sends, until QEMU is gone
		defer close(read)
		defer ours.Close()
		s := newStream(r.token, io.MultiWriter(&lockedBuffer{m}, sink), m.notice)
		_, _ = io.Copy(s, ours) // a reset at the end is an end too
		_ = s.Close()
		flush()
	}()
	go func() { // owns the process
		// The kernel kills QEMU when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, qemu, args...)
		cmd.Stderr = &stderr
		cmd.ExtraFiles = append([]*os.File{theirs}, links...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		_ = theirs.Close()
		if err == nil {
			m.mu.Lock()
			m.proc = cmd.Process
			m.mu.Unlock()
		}
		started <- err
		if err != nil {
			return
		}
		err = m.reap(ctx, cmd, &stderr)
		<-read
		m.mu.Lock()
		m.err = err
		m.mu.Unlock()
		close(m.done)
	}()
	if err := <-started; err != nil {
		<-read
		return fmt.Errorf("start %s: %w", qemu, err)
	}
	return nil
}

// reap waits for the process, and says why it ended unless it was told to.
func (m *machine) reap(ctx context.Context, cmd *exec.Cmd, stderr *bytes.Buffer) error {
	err := cmd.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch text := strings.TrimSpace(stderr.String()); {
	case m.stop || ctx.Err() != nil:
		return nil
	case text != "":
		return fmt.Errorf("qemu of machine %s: %w: %s", m.role, errors.Join(err), text)
	case err != nil:
		return fmt.Errorf("qemu of machine %s: %w", m.role, err)
	}
	return fmt.Errorf("machine %s ended before its command", m.role)
}

func (m *machine) arguments(job Job, images images, initrd, out string, links int) []string {
	// No device beyond what is used, no option ROM: each costs time at boot.
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc,usb=off,vmport=off,i8042=on,hpet=off", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(job.MemoryMiB),
		"-kernel", images.kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 oops=panic nokaslr mitigations=off random.trust_cpu=on no_timer_check " +
			"tsc=reliable audit=0 apparmor=0 cryptomgr.notests net.ifnames=0 ipv6.disable=0 rcupdate.rcu_expedited=1 " +
			"lpj=10400000", // saves measuring it; delays go by the TSC,
		"-chardev", "file,id=serial,path=" + comma(m.console), "-serial", "chardev:serial",
		"-chardev", "socket,id=out,fd=3", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=out,name=lab",
		"-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
		"-fsdev", "local,id=out,path=" + comma(out) + ",security_model=none,multidevs=remap", "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
	}
	if accel := os.Getenv("XFER_LAB_ACCEL"); accel != "" {
		args = append(args, "-accel", accel)
	} else {
		args = append(args, "-accel", "tcg,thread=multi")
	}
	for n := range links {
		mac := fmt.Sprintf("52:54:00:99:%02x:%02x", n, m.role[0])
		args = append(args, "-netdev", fmt.Sprintf("socket,id=n%d,fd=%d", n, 4+n),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,mac=%s,romfile=", n, mac))
	}
	return args
}

// comma escapes a value of QEMU's option syntax.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// notice takes a line that the guest's scripts have for the host.
func (m *machine) notice(line string) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	rest := strings.Join(words[1:], " ")
	if words[0] == "host" { // may lock this machine
		m.host(words[1:])
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch words[0] {
	case "phase":
		m.phases = append(m.phases, Phase{Name: rest, At: time.Since(m.started)})
	case "broken":
		m.broken = rest
		m.kill()
	case "exit":
		if code, err := strconv.Atoi(rest); err == nil && m.code < 0 {
			m.code = code
			m.phases = append(m.phases, Phase{Name: "exit", At: time.Since(m.started)})
			close(m.exited)
			m.kill() // what it wrote is on the host already
		}
	}
}

// end kills QEMU, if it runs.
func (m *machine) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kill()
}

// kill is end under the lock.
func (m *machine) kill() {
	m.stop = true
	if m.proc != nil {
		_ = m.proc.Kill() // it may be over
	}
}

// signal freezes QEMU or lets it go on.
func (m *machine) signal(sig os.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		return fmt.Errorf("machine %s does not run", m.role)
	}
	if err := m.proc.Signal(sig); err != nil {
		return fmt.Errorf("%v to machine %s: %w", sig, m.role, err)
	}
	return nil
}

// lockedBuffer is the output of a machine, kept.
type lockedBuffer struct{ m *machine }

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.m.output.Write(p)
}
