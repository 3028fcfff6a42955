//go:build race

package archive

// flipStep is how far apart the bytes are that the tests flip and cut. The race detector makes each try ten times
// slower and these tests have one goroutine, so that it looks at a sample; without it every byte is tried.
const flipStep = 29
