package provider

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	patience  = 10 * time.Second // for one answer
	maxAnswer = 1 << 20          // bytes
)

// newClient returns a client that no provider can keep waiting, or fill our memory.
func newClient() *http.Client {
	return &http.Client{Timeout: patience, Transport: capped{http.DefaultTransport}, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
			return errors.New("the provider leads elsewhere")
		}
		return nil
	}}
}

// capped reads no more of an answer than it may have.
type capped struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &body{answer.Body, maxAnswer}
	return answer, nil
}

type body struct {
	io.ReadCloser
	left int
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the provider's answer is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
