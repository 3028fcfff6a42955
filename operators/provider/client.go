package provider

import (
	"errors"
	"net/http"
	"time"
)

const (
	patience     = 10 * time.Second // for one answer
	maxAnswer    = 1 << 20          // bytes
	maxHeaders   = 64 << 10         // bytes
	maxRedirects = 3
)

// bounded returns a client that no provider can keep waiting, fill the memory of, or lead to another host. What the
// given one says of a timeout and of redirects is kept; nil means one of our own.
func bounded(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	}
	if client.Transport == nil {
		client.Transport = newTransport()
	}
	client.Transport = capped{client.Transport}
	if client.Timeout == 0 {
		client.Timeout = patience
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = stayThere
	}
	return &client
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHeaders,
		TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
	}
}

func stayThere(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return errors.New("the provider leads elsewhere")
	}
	return nil
}

// capped reads no more of an answer than it may have.
type capped struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}
