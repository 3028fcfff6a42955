//go:build !race

package archive

// flipStep is how far apart the bytes are that the tests flip and cut: each of them is tried.
const flipStep = 1
