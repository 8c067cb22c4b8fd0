//go:build !race

package fsroot

const raceEnabled = false
