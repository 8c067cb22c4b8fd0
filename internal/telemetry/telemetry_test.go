package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"/data/a b.txt":         "/data/a b.txt",
		"/data/größe/日本":        "/data/größe/日本",
		"a\nb":                  `a\x0ab`,
		"\x1b[31mred":           `\x1b[31mred`,
		"bad\xff\xfe":           `bad\xff\xfe`,
		`back\slash`:            `back\\slash`,
		`\x0a`:                  `\\x0a`,
		"evil\u202etxt":         `evil\xe2\x80\xaetxt`,
		"c1\u0085":              `c1\xc2\x85`,
		"real \ufffd":           "real \ufffd",
		"del\x7f":               `del\x7f`,
		"nul\x00":               `nul\x00`,
		"zero\u200bwidth":       `zero\xe2\x80\x8bwidth`,
		"\n":                    `\x0a`,
		"cut \xe2\x80":          `cut \xe2\x80`,
		"no-break\u00a0space\t": `no-break\xc2\xa0space\x09`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	clean := "/data/größe"
	if n := testing.AllocsPerRun(100, func() { _ = Escape(clean) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"a\nb", "\xff", `\x41`, "é\u202e", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Fatalf("%q became %q", s, got)
		}
		if back := unescape(got); back != s {
			t.Fatalf("%q became %q, which reads %q", s, got, back)
		}
	})
}

// unescape shows that nothing is lost.
func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			b = append(b, s[i])
		case s[i+1] == '\\':
			b = append(b, '\\')
			i++
		default:
			const hex = "0123456789abcdef"
			b = append(b, byte(strings.IndexByte(hex, s[i+2])<<4|strings.IndexByte(hex, s[i+3])))
			i += 3
		}
	}
	return string(b)
}

func TestLogging(t *testing.T) {
	var out bytes.Buffer
	l, err := NewLogging(&out, "warn", JSON)
	if err != nil {
		t.Fatal(err)
	}
	l.Info("hidden")
	l.Warn("copy", Node("n1"), Transfer("nodes/n1/transfers/x"), Path("/a\n\xff"), Err(errors.New("no \x1b[1mspace")))
	var rec map[string]string
	if err := json.Unmarshal(out.Bytes(), &rec); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	delete(rec, "time")
	want := map[string]string{
		"level": "WARN", "msg": "copy", "node": "n1", "transfer": "nodes/n1/transfers/x",
		"path": `/a\x0a\xff`, "err": `no \x1b[1mspace`,
	}
	for k, v := range want {
		if rec[k] != v {
			t.Errorf("%s is %q, want %q", k, rec[k], v)
		}
	}
	out.Reset()
	if err := l.SetLevel("debug"); err != nil {
		t.Fatal(err)
	}
	l.Debug("shown", Err(nil))
	if !strings.Contains(out.String(), `"shown"`) {
		t.Errorf("level did not change: %s", out.String())
	}
	if err := l.SetLevel("loud"); err == nil {
		t.Error("a level that does not exist was taken")
	}
	if _, err := NewLogging(&out, "info", "xml"); err == nil {
		t.Error("a format that does not exist was taken")
	}
	if _, err := NewLogging(&out, "x", Text); err == nil {
		t.Error("a level that does not exist was taken")
	}
}

func TestServe(t *testing.T) {
	m, other := NewMetrics("v1.2.3", "n1"), NewMetrics("v1.2.3", "n2")
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	if err := m.Register(c); err != nil {
		t.Fatal(err)
	}
	if err := m.Register(c); err == nil {
		t.Error("the same collector twice")
	}
	if err := other.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})); err != nil {
		t.Error("registries are not apart:", err)
	}
	c.Add(3)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sick atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, ln, m, func() error {
			if sick.Load() {
				return errors.New("store is gone\n")
			}
			return nil
		}, slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ln.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	code, body := get("GET", "/metrics")
	for _, want := range []string{`xferd_things_total{node="n1"} 3`, `xferd_build_info{node="n1",version="v1.2.3"} 1`, "go_goroutines"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics: %d, without %s", code, want)
		}
	}
	if code, body := get("GET", "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	sick.Store(true)
	if code, body := get("GET", "/healthz"); code != 503 || body != `store is gone\x0a`+"\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, _ := get("GET", "/debug/pprof/"); code != 404 {
		t.Errorf("pprof: %d", code)
	}
	if code, _ := get("POST", "/healthz"); code != 405 {
		t.Errorf("POST: %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A listener that fails ends the server by itself.
	if err := Serve(t.Context(), ln, m, func() error { return nil }, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("served on a closed listener")
	}
}
