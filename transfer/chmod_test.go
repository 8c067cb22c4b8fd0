package transfer

import "testing"

func TestChmod(t *testing.T) {
	tests := []struct {
		rule      string
		mode      uint32
		file, dir uint32
	}{
		{"", 0o640, 0o640, 0o640},
		{"644", 0o4777, 0o644, 0o644},
		{"D2775,F664", 0o700, 0o664, 0o2775},
		{"u+w,g-r", 0o440, 0o600, 0o600},
		{"+w", 0o444, 0o644, 0o644},
		{"a+w", 0o444, 0o666, 0o666},
		{"go=", 0o777, 0o700, 0o700},
		{"g=rx", 0o707, 0o757, 0o757},
		{"a+X", 0o600, 0o600, 0o711},
		{"+X", 0o700, 0o711, 0o711},
		{"Dg+s,+t", 0o755, 0o1755, 0o3755},
		{"u-s", 0o4755, 0o755, 0o755},
		{"Du+rwx,Fa-x", 0o111, 0o000, 0o711},
		{"o=w", 0o755, 0o752, 0o752},
	}
	for _, tt := range tests {
		r, err := ParseChmod(tt.rule)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		if f, d := r.Apply(tt.mode, false), r.Apply(tt.mode, true); f != tt.file || d != tt.dir {
			t.Errorf("%s on %o: file %o, directory %o; want %o, %o", tt.rule, tt.mode, f, d, tt.file, tt.dir)
		}
	}
	for _, bad := range []string{",", "u", "7777777", "99", "u+q", "D", "u~w", "10000", "00755", "u+w,"} {
		if _, err := ParseChmod(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzChmod(f *testing.F) {
	f.Add("D2775,F664,u+rwX,g-s,o=t", uint32(0o644))
	f.Fuzz(func(t *testing.T, s string, mode uint32) {
		r, err := ParseChmod(s)
		if err != nil {
			return
		}
		if got := r.Apply(mode&0o7777, len(s)%2 == 0); got > 0o7777 {
			t.Errorf("%q gives %o", s, got)
		}
	})
}
