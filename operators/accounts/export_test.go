package accounts

// What tests look at inside.
const (
	FreeTogether = freeTogether
	FreeName     = freeName
	FreeSource   = freeSource
	MaxDelay     = maxDelay
	WindowName   = windowName
	SweepEvery   = sweepEvery
)

// OnHash has around called for every hash that is computed, with what it takes and how to compute it.
func (a *Accounts) OnHash(around func(c Cost, compute func())) {
	derive := a.hasher.derive
	a.hasher.derive = func(password, salt []byte, passes, memory uint32, threads uint8, size uint32) (tag []byte) {
		around(Cost{Memory: memory, Passes: passes, Threads: threads}, func() {
			tag = derive(password, salt, passes, memory, threads, size)
		})
		return tag
	}
}

// ParseHash parses a hash and returns it written again.
func ParseHash(text string) (Cost, string, error) {
	h, err := parseHash(text)
	return h.cost, h.String(), err
}

// The two keys under which failures are counted.
var (
	LookOf   = lookOf
	SourceOf = sourceOf
)
