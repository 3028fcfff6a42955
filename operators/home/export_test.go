package home

// The sizes at which tests look for faults.
const (
	FirstLines  = firstLines
	MostLines   = mostLines
	EnoughBytes = enoughBytes
	LookAgain   = lookAgain
)
