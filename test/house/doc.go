// Package house holds the rules of the source tree as tests: who may import
// whom, that every package says what it is for, and that nothing but fsroot
// opens a path of an export.
package house
