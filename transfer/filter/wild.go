package filter

import "math/bits"

// A program is a compiled wildcard pattern: a row of tokens, each of which
// takes one byte, except the stars, which take any number.
type program []token

type op uint8

const (
	opByte  op = iota // this byte
	opAny             // any byte but a slash
	opClass           // a byte of the class, never a slash
	opStar            // any number of bytes without a slash
	opDeep            // any number of bytes
)

type token struct {
	op    op
	b     byte
	class *class
}

// class is a set of bytes.
type class [4]uint64

func (c *class) add(b byte)      { c[b>>6] |= 1 << (b & 63) }
func (c *class) has(b byte) bool { return c[b>>6]&(1<<(b&63)) != 0 }

func (c *class) negate() {
	for i := range c {
		c[i] = ^c[i]
	}
}

func compileWild(text string) (program, error) {
	prog := make(program, 0, len(text))
	for i := 0; i < len(text); {
		switch text[i] {
		case '\\':
			if i+1 == len(text) {
				return nil, errBackslash
			}
			prog = append(prog, token{op: opByte, b: text[i+1]})
			i += 2
		case '?':
			prog = append(prog, token{op: opAny})
			i++
		case '*':
			stars := 0
			for ; i < len(text) && text[i] == '*'; i++ {
				stars++
			}
			o := opStar
			if stars > 1 {
				o = opDeep
			}
			prog = append(prog, token{op: o})
		case '[':
			c, n, err := compileClass(text[i:])
			if err != nil {
				return nil, err
			}
			prog = append(prog, token{op: opClass, class: c})
			i += n
		default:
			prog = append(prog, token{op: opByte, b: text[i]})
			i++
		}
	}
	return prog, nil
}

// compileClass reads a bracket expression at the start of text and returns its
// length: "!" or "^" first negates, "]" first is itself, a-z is a range, a
// backslash takes the next byte as it is, [:alpha:] and its like are named sets.
func compileClass(text string) (*class, int, error) {
	c := new(class)
	i, negated := 1, false
	if i < len(text) && (text[i] == '!' || text[i] == '^') {
		negated = true
		i++
	}
	for first := true; ; first = false {
		if i >= len(text) {
			return nil, 0, errBracket
		}
		b := text[i]
		switch {
		case b == ']' && !first:
			if negated {
				c.negate()
			}
			return c, i + 1, nil
		case b == '[' && i+1 < len(text) && text[i+1] == ':':
			n, err := c.addNamed(text[i:])
			if err != nil {
				return nil, 0, err
			}
			i += n
			continue
		}
		low, n := classByte(text[i:])
		if n == 0 {
			return nil, 0, errBracket
		}
		i += n
		if i+1 < len(text) && text[i] == '-' && text[i+1] != ']' {
			high, n := classByte(text[i+1:])
			if n == 0 {
				return nil, 0, errBracket
			}
			i += 1 + n
			for x := int(low); x <= int(high); x++ {
				c.add(byte(x))
			}
			continue
		}
		c.add(low)
	}
}

// classByte reads one byte of a bracket expression, which a backslash may quote.
func classByte(text string) (b byte, n int) {
	if text == "" {
		return 0, 0
	}
	if text[0] == '\\' {
		if len(text) < 2 {
			return 0, 0
		}
		return text[1], 2
	}
	return text[0], 1
}

var named = map[string]func(b byte) bool{
	"alnum":  func(b byte) bool { return isAlpha(b) || isDigit(b) },
	"alpha":  isAlpha,
	"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
	"cntrl":  func(b byte) bool { return b < 0x20 || b == 0x7f },
	"digit":  isDigit,
	"graph":  func(b byte) bool { return b > 0x20 && b < 0x7f },
	"lower":  func(b byte) bool { return b >= 'a' && b <= 'z' },
	"print":  func(b byte) bool { return b >= 0x20 && b < 0x7f },
	"punct":  func(b byte) bool { return b > 0x20 && b < 0x7f && !isAlpha(b) && !isDigit(b) },
	"space":  func(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' },
	"upper":  func(b byte) bool { return b >= 'A' && b <= 'Z' },
	"xdigit": func(b byte) bool { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' },
}

func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// addNamed reads [:name:] and returns its length.
func (c *class) addNamed(text string) (int, error) {
	for i := 2; i+1 < len(text); i++ {
		if text[i] != ':' || text[i+1] != ']' {
			continue
		}
		is, ok := named[text[2:i]]
		if !ok {
			return 0, errClass
		}
		for b := range 256 {
			if is(byte(b)) {
				c.add(byte(b))
			}
		}
		return i + 2, nil
	}
	return 0, errBracket
}

type matchOptions struct {
	slashBefore, slashAfter bool // read the name with a slash there
	anywhere                bool // the match may start at every component
}

// states is a set of positions in a program: the tokens that may come next.
type states [(MaxPattern + 64) / 64]uint64

// match follows all ways through the program at once, so that the time is
// bounded by len(name) * len(program) whatever the pattern. It allocates
// nothing.
func (p program) match(name string, o matchOptions) bool {
	var a, b states
	words := len(p)/64 + 1
	now, next := a[:words], b[:words]
	p.enter(now, 0)
	if o.slashBefore {
		p.step(now, next, '/')
		now, next = next, now
	}
	for i := 0; i < len(name); i++ {
		alive := p.step(now, next, name[i])
		now, next = next, now
		if o.anywhere && name[i] == '/' {
			p.enter(now, 0)
		} else if !alive && !o.anywhere {
			return false
		}
	}
	if o.slashAfter {
		p.step(now, next, '/')
		now = next
	}
	return now[len(p)/64]&(1<<(len(p)%64)) != 0
}

// enter adds position i to s, and those behind it that need no byte.
func (p program) enter(s []uint64, i int) {
	for ; ; i++ {
		s[i/64] |= 1 << (i % 64)
		if i == len(p) || p[i].op < opStar {
			return
		}
	}
}

// step fills next with where c leads from now, and tells whether it leads
// anywhere.
func (p program) step(now, next []uint64, c byte) (alive bool) {
	clear(next)
	for w, set := range now {
		for ; set != 0; set &= set - 1 {
			i := w*64 + bits.TrailingZeros64(set)
			if i == len(p) {
				continue
			}
			switch t := &p[i]; t.op {
			case opByte:
				if c != t.b {
					continue
				}
				i++
			case opAny:
				if c == '/' {
					continue
				}
				i++
			case opClass:
				if c == '/' || !t.class.has(c) {
					continue
				}
				i++
			case opStar:
				if c == '/' {
					continue
				}
			}
			p.enter(next, i)
			alive = true
		}
	}
	return alive
}
