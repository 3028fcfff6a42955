// Package racetest says whether the race detector watches. Under it a program takes five times as long or more, and what is
// repeated in the hope of an unlucky moment shows its races in the first few rounds: tests do all of their rounds without it.
//
// It is for tests alone.
package racetest

// Rounds is how often a test repeats what it does that often without the race detector: a fifth of it where that watches.
func Rounds(all int) int {
	if watching {
		return max(all/5, 1)
	}
	return all
}
