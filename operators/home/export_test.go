package home

import "github.com/passerelle-cloud/passerelle/operators"

// The sizes at which tests look for faults.
const (
	FirstLines  = firstLines
	MostLines   = mostLines
	EnoughBytes = enoughBytes
	LookAgain   = lookAgain
)

// Idle reports whether a stock has no transaction open.
func Idle(s operators.Stock) bool {
	w := s.(*stock).w
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tx == nil
}
