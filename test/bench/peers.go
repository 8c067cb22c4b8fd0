package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// start runs a daemon until stop, which waits for its end.
func start(cmd *exec.Cmd) (daemon, func(), error) {
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return daemon{}, nil, err
	}
	return daemon{cmd.Process.Pid}, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		t := time.AfterFunc(25*time.Second, func() { _ = cmd.Process.Kill() })
		defer t.Stop()
		_ = cmd.Wait()
	}, nil
}

// rsyncContender pushes to an rsync daemon.
func rsyncContender(ctx context.Context, root string) (contender, error) {
	c := contender{name: "rsync daemon", copies: "4 (file to buffer to socket, and back)"}
	if err := need("rsync"); err != nil {
		return c, err
	}
	port, err := freePort()
	if err != nil {
		return c, err
	}
	conf := filepath.Join(root, "rsyncd.conf")
	text := fmt.Sprintf("use chroot = no\nlog file = /dev/null\npid file = %s\n[root]\npath = /\nread only = no\nuid = %d\ngid = %d\n",
		filepath.Join(root, "rsyncd.pid"), os.Getuid(), os.Getgid())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return c, err
	}
	d, stop, err := start(exec.Command("rsync", "--daemon", "--no-detach", "--address=127.0.0.1", "--port", fmt.Sprint(port), "--config", conf))
	if err != nil {
		return c, err
	}
	c.daemons, c.stop = []daemon{d}, stop
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		return u.run(u.command(ctx, "rsync", "-a", "--whole-file", w.path, fmt.Sprintf("rsync://127.0.0.1:%d/root%s/", port, dst)))
	}
	return c, waitPort(ctx, port)
}

// scpContender copies through a private sshd, by scp or by rclone over sftp.
func scpContender(ctx context.Context, root string, rclone bool) (contender, error) {
	c := contender{name: "scp", copies: "6 (file to buffer to cipher to socket, and back)"}
	tools := []string{"scp", "ssh-keygen"}
	if rclone {
		c.name = "rclone (sftp)"
		tools = append(tools, "rclone")
	}
	if err := need(tools...); err != nil {
		return c, err
	}
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		return c, skipError{"sshd is not installed (make deps)"}
	}
	port, err := freePort()
	if err != nil {
		return c, err
	}
	dir, err := os.MkdirTemp(root, "ssh")
	if err != nil {
		return c, err
	}
	host, user := filepath.Join(dir, "host"), filepath.Join(dir, "user")
	for _, k := range []string{host, user} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", k).CombinedOutput(); err != nil {
			return c, fmt.Errorf("ssh-keygen: %w\n%s", err, out)
		}
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return c, err
		}
	}
	conf := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n", port, host, user)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return c, err
	}
	d, stop, err := start(exec.Command(sshd, "-D", "-f", conf))
	if err != nil {
		return c, err
	}
	c.daemons, c.stop = []daemon{d}, stop
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		if rclone {
			verb := "copyto"
			if w.tree {
				verb = "copy"
			}
			return u.run(u.command(ctx, "rclone", "--config", "/dev/null", "-q", verb, w.path,
				fmt.Sprintf(":sftp,host=127.0.0.1,port=%d,user=%s,key_file=%s:%s", port, login(), user, filepath.Join(dst, filepath.Base(w.path)))))
		}
		return u.run(u.command(ctx, "scp", "-q", "-r", "-p", "-P", fmt.Sprint(port), "-i", user,
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
			w.path, login()+"@127.0.0.1:"+dst+"/"))
	}
	return c, waitPort(ctx, port)
}

func login() string {
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return "root"
}
