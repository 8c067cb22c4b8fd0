// Package faults kills nodes at every step of their work, cuts their power and spoils
// their network, and looks whether what is promised of transfers still holds. The
// steps are those of internal/failpoint; the nodes are real processes. make
// test-faults runs all of it, go test a sample.
package faults
