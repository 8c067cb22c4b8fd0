package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func dir(t *testing.T, text string) func() (string, error) {
	d := t.TempDir()
	if err := os.MkdirAll(filepath.Join(d, "xfer"), 0o700); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		if err := os.WriteFile(filepath.Join(d, "xfer", "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() (string, error) { return d, nil }
}

func TestPrecedence(t *testing.T) {
	d := dir(t, "server: file:1\nca: ca.pem\nkey: /k\ncert: c\noutput: yaml\ninsecure: true\n")
	base, _ := d()
	s, warn, err := Load(Sources{
		Flags:     map[string]string{"output": "json"},
		Environ:   []string{"XFERCTL_SERVER=env:2", "XFERCTL_OUTPUT=table", "XFERCTL_SERVR=x", "HOME=/"},
		ConfigDir: d,
	})
	want := Settings{Server: "env:2", CA: filepath.Join(base, "xfer", "ca.pem"), Cert: filepath.Join(base, "xfer", "c"), Key: "/k", Output: "json", Insecure: true}
	if err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	if len(warn) != 1 || !strings.Contains(warn[0], "XFERCTL_SERVR") {
		t.Errorf("warnings %q", warn)
	}
	if s.Local() {
		t.Error("a remote server is local")
	}
}

func TestDefaults(t *testing.T) {
	for _, d := range []func() (string, error){dir(t, ""), func() (string, error) { return "", errors.New("no home") }} {
		s, warn, err := Load(Sources{ConfigDir: d})
		if err != nil || len(warn) > 0 || s != (Settings{Server: DefaultServer, Output: "table"}) || !s.Local() {
			t.Errorf("%+v, %v, %v", s, warn, err)
		}
	}
}

// TestUnreadable: the file in its usual place is nobody's wish, so that one that
// cannot be read is a warning; one that was named is an error.
func TestUnreadable(t *testing.T) {
	d := dir(t, "")
	base, _ := d()
	file := filepath.Join(base, "xfer", "config.yaml")
	if err := os.Mkdir(file, 0o700); err != nil { // even root cannot read it as a file
		t.Fatal(err)
	}
	s, warn, err := Load(Sources{ConfigDir: d, Environ: []string{"XFERCTL_OUTPUT=json"}})
	if err != nil || s.Server != DefaultServer || s.Output != "json" || len(warn) != 1 || !strings.Contains(warn[0], file) {
		t.Errorf("%+v, %q, %v", s, warn, err)
	}
	if _, _, err := Load(Sources{ConfigDir: d, Environ: []string{"XFERCTL_CONFIG=" + file}}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that was named: %v", err)
	}
}

func TestByteOrderMark(t *testing.T) {
	s, _, err := Load(Sources{ConfigDir: dir(t, "\xef\xbb\xbfserver: n1:7440\n")})
	if err != nil || s.Server != "n1:7440" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestServerThatIsAPath(t *testing.T) {
	_, _, err := Load(Sources{Flags: map[string]string{"server": "/run/x.sock"}, ConfigDir: dir(t, "")})
	if err == nil || !strings.Contains(err.Error(), "unix:///run/x.sock") {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, src := range map[string]Sources{
		"unknown key":  {ConfigDir: dir(t, "servr: x:1\n")},
		"broken file":  {ConfigDir: dir(t, "server: [\n")},
		"twice":        {ConfigDir: dir(t, "server: a:1\nserver: b:1\n")},
		"no such file": {Environ: []string{"XFERCTL_CONFIG=/nonexistent/x.yaml"}, ConfigDir: dir(t, "")},
		"output":       {Flags: map[string]string{"output": "xml"}, ConfigDir: dir(t, "")},
		"relative":     {Flags: map[string]string{"server": "unix://run/x"}, ConfigDir: dir(t, "")},
		"no port":      {Flags: map[string]string{"server": "n1"}, ConfigDir: dir(t, "")},
		"url":          {Flags: map[string]string{"server": "https://n1:7440"}, ConfigDir: dir(t, "")},
		"insecure":     {Flags: map[string]string{"insecure": "maybe"}, ConfigDir: dir(t, "")},
		"empty flag":   {Flags: map[string]string{"cert": "x"}, ConfigDir: dir(t, "")},
	} {
		if s, _, err := Load(src); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
