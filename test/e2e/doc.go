// Package e2e holds the end-to-end tests: the real programs, built once and run
// as processes, real sockets and real files. What one package alone can show is
// tested there, not here.
package e2e
