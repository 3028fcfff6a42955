package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates reads a certificate again when its file has changed, so that a renewal needs no restart.
type certificates struct {
	cert, key string
	mu        sync.Mutex
	kept      *tls.Certificate
	changed   time.Time // of the file that was read
	looked    time.Time
}

const lookAgain = time.Minute

func newCertificates(cert, key string) (*certificates, error) {
	c := &certificates{cert: cert, key: key}
	_, err := c.get(nil)
	return c, err
}

// get implements [tls.Config.GetCertificate]. While new files do not fit together, as in the middle of a renewal, the
// old certificate goes on.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept != nil && time.Since(c.looked) < lookAgain {
		return c.kept, nil
	}
	c.looked = time.Now()
	info, err := os.Stat(c.cert)
	if err == nil && c.kept != nil && info.ModTime().Equal(c.changed) {
		return c.kept, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.kept, c.changed = &pair, info.ModTime()
			return c.kept, nil
		}
	}
	if c.kept != nil {
		return c.kept, nil
	}
	return nil, fmt.Errorf("read the certificate: %w", err)
}
