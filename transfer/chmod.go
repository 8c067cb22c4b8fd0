package transfer

import (
	"fmt"
	"strings"
)

// chmodRule is one item of a --chmod list.
type chmodRule struct {
	dirs, files bool
	op          byte   // '+', '-' or '='
	who         uint32 // the bits that '=' clears first
	bits        uint32
	execIf      uint32 // X: bits to set for directories and for files that have any x
}

// ChmodRules change a mode the way rsync's --chmod does.
type ChmodRules []chmodRule

// chmodUnmasked is what a rule without u, g, o or a may touch. The daemon's own
// umask is zero so that modes arrive as they were sent; people mean this one.
const chmodUnmasked = 0o7777 &^ 0o022

// ParseChmod reads a comma-separated list of items. An item is an optional D or
// F (directories or files only), then an octal mode or [ugoa]*[+-=][rwxXst]*.
func ParseChmod(s string) (ChmodRules, error) {
	if s == "" {
		return nil, nil
	}
	var rules ChmodRules
	for _, item := range strings.Split(s, ",") {
		r, err := parseChmodItem(item)
		if err != nil {
			return nil, fmt.Errorf("chmod %q: %w", item, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseChmodItem(s string) (chmodRule, error) {
	r := chmodRule{dirs: true, files: true}
	if s != "" && (s[0] == 'D' || s[0] == 'F') {
		r.dirs, r.files = s[0] == 'D', s[0] == 'F'
		s = s[1:]
	}
	if s == "" {
		return r, fmt.Errorf("it is empty")
	}
	if s[0] >= '0' && s[0] <= '7' {
		if len(s) > 4 {
			return r, fmt.Errorf("an octal mode has at most 4 digits")
		}
		for _, c := range []byte(s) {
			if c < '0' || c > '7' {
				return r, fmt.Errorf("%q is no octal digit", c)
			}
			r.bits = r.bits<<3 | uint32(c-'0')
		}
		r.op, r.who = '=', 0o7777
		return r, nil
	}
	i := 0
	var setid, perms uint32
	for ; i < len(s); i++ {
		switch s[i] {
		case 'u':
			perms, setid = perms|0o700, setid|0o4000
		case 'g':
			perms, setid = perms|0o070, setid|0o2000
		case 'o':
			perms |= 0o007
		case 'a':
			perms, setid = perms|0o777, setid|0o6000
		default:
			goto op
		}
	}
op:
	if i == len(s) || (s[i] != '+' && s[i] != '-' && s[i] != '=') {
		return r, fmt.Errorf("it has no +, - or =")
	}
	allowed := uint32(0o7777)
	if i == 0 {
		perms, setid, allowed = 0o777, 0o6000, chmodUnmasked
	}
	r.op, r.who = s[i], (perms|setid)&allowed
	for _, c := range []byte(s[i+1:]) {
		switch c {
		case 'r':
			r.bits |= 0o444 & perms & allowed
		case 'w':
			r.bits |= 0o222 & perms & allowed
		case 'x':
			r.bits |= 0o111 & perms & allowed
		case 'X':
			r.execIf |= 0o111 & perms & allowed
		case 's':
			r.bits |= setid
		case 't':
			r.bits |= 0o1000
		default:
			return r, fmt.Errorf("%q is none of rwxXst", c)
		}
	}
	return r, nil
}

// Apply returns mode as the rules leave it.
func (rules ChmodRules) Apply(mode uint32, dir bool) uint32 {
	for _, r := range rules {
		if (dir && !r.dirs) || (!dir && !r.files) {
			continue
		}
		bits := r.bits
		if dir || mode&0o111 != 0 {
			bits |= r.execIf
		}
		switch r.op {
		case '+':
			mode |= bits
		case '-':
			mode &^= bits
		case '=':
			mode = mode&^r.who | bits
		}
	}
	return mode
}
