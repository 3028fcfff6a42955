package dav

import "sync"

// mostUploads is how many uploads one person has at a time: each may be on disk with as many bytes as the quota.
const mostUploads = 32

// gate counts what each person has under way.
type gate struct {
	mu sync.Mutex
	in map[string]int
}

// enter lets somebody in, unless they have too much under way.
func (g *gate) enter(who string) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in[who] >= mostUploads {
		return nil, false
	}
	if g.in == nil {
		g.in = map[string]int{}
	}
	g.in[who]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.in[who]--; g.in[who] == 0 {
			delete(g.in, who)
		}
	}, true
}
