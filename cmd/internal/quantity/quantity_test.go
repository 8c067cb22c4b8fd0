package quantity

import "testing"

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0B", 0, true}, {"256MiB", 256 << 20, true}, {"1.5GB", 1_500_000_000, true},
		{"1KiB", 1024, true}, {"1kB", 1000, true}, {"10", 0, false}, {"", 0, false},
		{"10XB", 0, false}, {"-1B", 0, false}, {"99999999PiB", 0, false}, {"1..5MB", 0, false},
		{"4Gbit", 500_000_000, true},
	} {
		got, err := ParseSize(c.in)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("ParseSize(%q) = %d, %v", c.in, got, err)
		}
	}
}

func TestSizeRoundTrip(t *testing.T) {
	for in, want := range map[int64]string{0: "0B", 12: "12B", 1024: "1.00KiB", 1 << 30: "1.00GiB", 270 << 20: "270MiB", 999 << 10: "999KiB", 1000 << 10: "0.98MiB"} {
		if got := Size(in); got != want {
			t.Errorf("Size(%d) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	f.Add("500MB/s")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseRate(s); err == nil && v < 0 {
			t.Fatalf("%q gave %d", s, v)
		}
	})
}
