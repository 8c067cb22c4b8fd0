package nemesis

import (
	"errors"
	"fmt"
)

// plane is what a fault of the network is about.
type plane string

const (
	everything plane = "everything"
	control    plane = "control"
	data       plane = "data"
	gossip     plane = "gossip"
)

func (p plane) port() int {
	return map[plane]int{everything: 0, control: 7440, data: 7441, gossip: 7442}[p]
}

// between are the beginnings of rules for what comes from an address on that plane.
// Connections of a plane are made by either side.
func (p plane) between(from string) []string {
	if p == everything {
		return []string{"ip saddr " + from}
	}
	rule := fmt.Sprintf("ip saddr %s meta l4proto { tcp, udp } th ", from)
	return []string{fmt.Sprintf("%sdport %d", rule, p.port()), fmt.Sprintf("%ssport %d", rule, p.port())}
}

// onTheWay does something to what goes from one host to another.
func onTheWay(from, to *host, p plane, what string) (heal func() error, err error) {
	var rules []string
	for _, r := range p.between(from.address) {
		rules = append(rules, r+" "+what)
	}
	return to.wound(rules...)
}

// cut drops all that goes from one host to another.
func cut(from, to *host, p plane) (heal func() error, err error) {
	return onTheWay(from, to, p, "drop")
}

// partition drops all between two hosts.
func partition(a, b *host, p plane) (heal func() error, err error) {
	forth, err := cut(a, b, p)
	if err != nil {
		return nil, err
	}
	back, err := cut(b, a, p)
	return func() error { return errors.Join(forth(), back()) }, err
}

// lossy drops some of the packets between two hosts.
func lossy(a, b *host, percent int) (heal func() error, err error) {
	what := fmt.Sprintf("numgen random mod 100 < %d drop", percent)
	forth, err := onTheWay(a, b, everything, what)
	if err != nil {
		return nil, err
	}
	back, err := onTheWay(b, a, everything, what)
	return func() error { return errors.Join(forth(), back()) }, err
}

// refuse answers segments on a plane with a reset, which the other end alone hears of.
func refuse(from, to *host, p plane) (heal func() error, err error) {
	rule := fmt.Sprintf("ip saddr %s tcp dport %d reject with tcp reset", from.address, p.port())
	return to.wound(rule)
}
