package flagval

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// Chown is the value of --chown: user, user:group, user: or :group, each by
// number or by a name of this machine. Numbers travel, names do not.
type Chown struct {
	UID, GID *uint32
	text     string

	// lookup is nil for the machine's own users and groups.
	lookup func(name string, group bool) (string, error)
}

func (c *Chown) String() string { return c.text }

// Type is what help shows for the value.
func (c *Chown) Type() string { return "user:group" }

// Set parses the value and resolves names.
func (c *Chown) Set(text string) error {
	u, g, _ := strings.Cut(text, ":")
	if u == "" && g == "" {
		return fmt.Errorf("%q is not user, user:group or :group", text)
	}
	uid, err := c.id(u, false)
	if err != nil {
		return err
	}
	gid, err := c.id(g, true)
	if err != nil {
		return err
	}
	c.UID, c.GID, c.text = uid, gid, text
	return nil
}

func (c *Chown) id(name string, group bool) (*uint32, error) {
	if name == "" {
		return nil, nil
	}
	kind := "user"
	if group {
		kind = "group"
	}
	number := name
	if strings.Trim(name, "0123456789") != "" {
		lookup := c.lookup
		if lookup == nil {
			lookup = lookupLocal
		}
		var err error
		if number, err = lookup(name, group); err != nil {
			return nil, fmt.Errorf("%s %q is not known on this machine; give its number", kind, name)
		}
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 1<<32-1 { // -1 stands for "leave as it is" in chown(2)
		return nil, fmt.Errorf("%s id %q is not a number from 0 to 4294967294", kind, number)
	}
	id := uint32(n)
	return &id, nil
}

func lookupLocal(name string, group bool) (string, error) {
	if group {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// Chmod is the value of --chmod, in rsync's grammar: comma-separated octal or
// symbolic modes, each with D before it for directories only, F for others.
type Chmod struct{ Text string }

func (c *Chmod) String() string { return c.Text }

// Type is what help shows for the value.
func (c *Chmod) Type() string { return "modes" }

// Set checks the syntax. The flag may be given again, which appends.
func (c *Chmod) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		if !validMode(part) {
			return fmt.Errorf("%q is not a mode: write Du=rwx,go=rx or F644,D2755 and the like", part)
		}
	}
	if c.Text != "" {
		c.Text += ","
	}
	c.Text += text
	return nil
}

func validMode(s string) bool {
	if s != "" && (s[0] == 'D' || s[0] == 'F') {
		s = s[1:]
	}
	if s == "" {
		return false
	}
	if strings.Trim(s, "01234567") == "" {
		n, err := strconv.ParseUint(s, 8, 16)
		return err == nil && n <= 0o7777
	}
	s = strings.TrimLeft(s, "ugoa")
	if s == "" || !strings.ContainsRune("+-=", rune(s[0])) {
		return false
	}
	return strings.Trim(s[1:], "rwxXst") == "" && (s[0] == '=' || len(s) > 1)
}
