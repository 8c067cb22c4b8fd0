package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// contender is one way to copy. copy copies w into the existing, empty
// directory dst.
type contender struct {
	name    string
	copies  string // copies of each byte on its way, by the path taken
	daemons []daemon
	// direct has both ends in one local process: no network is between them.
	copy func(ctx context.Context, u *usage, w workload, dst string) error
	stop func()
}

// skipped says why a contender is not there.
type skipped struct{ name, why string }

func contenders(ctx context.Context, o options, root string, w workload) (list []contender, out []skipped, err error) {
	add := func(c contender, err error) error {
		if s := (skipError{}); errors.As(err, &s) {
			out = append(out, skipped{c.name, s.why})
			return nil
		}
		if err == nil {
			list = append(list, c)
		}
		return err
	}
	makers := []func() (contender, error){
		func() (contender, error) { return xferdContender(ctx, o, root) },
		func() (contender, error) { return floorContender("floor+digests", w, true) },
		func() (contender, error) { return floorContender("floor", w, false) },
		func() (contender, error) { return rsyncContender(ctx, root) },
		func() (contender, error) { return scpContender(ctx, root, false) },
		func() (contender, error) { return scpContender(ctx, root, true) },
		func() (contender, error) { return tarContender(w) },
		cpContender,
	}
	for _, m := range makers {
		if err := add(m()); err != nil {
			for _, c := range list {
				c.stop()
			}
			return nil, out, err
		}
	}
	return list, out, nil
}

type skipError struct{ why string }

func (e skipError) Error() string { return e.why }

func need(tools ...string) error {
	for _, t := range tools {
		if _, err := exec.LookPath(t); err != nil {
			return skipError{t + " is not installed (make deps)"}
		}
	}
	return nil
}

func none() {}

// floorContender runs this program as both ends.
func floorContender(name string, w workload, digest bool) (contender, error) {
	c := contender{name: name, copies: "2 (socket to buffer, buffer to file)", stop: none}
	if w.tree {
		return c, skipError{"it moves one file"}
	}
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		d := fmt.Sprint(digest)
		recv := u.command(ctx, self, "floor", "recv", filepath.Join(dst, "large"), "127.0.0.1:0", d)
		recv.Stderr = os.Stderr
		out, err := recv.StdoutPipe()
		if err != nil {
			return err
		}
		if err := recv.Start(); err != nil {
			return err
		}
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			err = u.run(u.command(ctx, self, "floor", "send", w.path, strings.TrimSpace(addr), d))
		}
		if err != nil {
			_ = recv.Process.Kill()
		}
		err = errors.Join(err, recv.Wait())
		u.ofProcess(recv)
		return err
	}
	return c, nil
}

// tarContender is what people type: tar to nc to tar.
func tarContender(w workload) (contender, error) {
	c := contender{name: "tar|nc|tar", copies: "6 (file to tar to pipe to nc to socket, and back)", stop: none}
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		port, err := freePort()
		if err != nil {
			return err
		}
		recv := u.command(ctx, "sh", "-c", fmt.Sprintf("nc -l -N 127.0.0.1 %d | tar -xf - -C %q", port, dst))
		recv.Stderr = os.Stderr
		if err := recv.Start(); err != nil {
			return err
		}
		if err := waitPort(ctx, port); err != nil {
			return err
		}
		err = u.run(u.command(ctx, "sh", "-c", fmt.Sprintf("tar -cf - -C %q %q | nc -N 127.0.0.1 %d",
			filepath.Dir(w.path), filepath.Base(w.path), port)))
		err = errors.Join(err, recv.Wait())
		u.ofProcess(recv)
		return err
	}
	return c, need("tar", "nc")
}

func cpContender() (contender, error) {
	c := contender{name: "cp -a (local)", copies: "1 (file to file, in the kernel)", stop: none}
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		return u.run(u.command(ctx, "cp", "-a", w.path, dst+"/"))
	}
	return c, nil
}
