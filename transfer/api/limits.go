package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limits are a bucket of requests for each service, on each replica.
type limits struct {
	rate, burst float64
	mu          sync.Mutex
	buckets     map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// mostBuckets is how many are kept: those that are full again are forgotten.
const mostBuckets = 10_000

func newLimits(rate, burst int) *limits {
	return &limits{rate: float64(rate), burst: float64(burst), buckets: map[string]*bucket{}}
}

// take takes one request out of a bucket, and says in the headers how things stand (RateLimit and RateLimit-Policy as in
// draft-ietf-httpapi-ratelimit-headers-10). It returns how long to wait where the bucket is empty.
func (l *limits) take(h http.Header, who string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[who]
	if b == nil {
		if len(l.buckets) >= mostBuckets {
			l.forget(now)
		}
		b = &bucket{left: l.burst, at: now}
		l.buckets[who] = b
	}
	b.left = min(l.burst, b.left+l.rate*max(0, now.Sub(b.at).Seconds()))
	b.at = now
	h.Set("RateLimit-Policy", fmt.Sprintf(`"service";q=%d;w=%d`, int(l.burst), int(l.burst/l.rate)))
	if b.left < 1 {
		wait = time.Duration((1 - b.left) / l.rate * float64(time.Second))
		h.Set("RateLimit", fmt.Sprintf(`"service";r=0;t=%d`, int(wait.Seconds())+1))
		h.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		return wait
	}
	b.left--
	h.Set("RateLimit", fmt.Sprintf(`"service";r=%d;t=%d`, int(b.left), int((l.burst-b.left)/l.rate)))
	return 0
}

func (l *limits) forget(now time.Time) {
	for who, b := range l.buckets {
		if b.left+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.buckets, who)
		}
	}
}
