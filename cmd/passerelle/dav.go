package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/dav"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// openDAV opens the way in for programs that persons work with: their files, contacts and calendar.
func (s *server) openDAV(g *gateway, c *serveCommand) error {
	trusted, err := parseProxies(c.TrustedProxy)
	if err != nil {
		return err
	}
	s.dav = dav.New(dav.Options{
		SignIn: func(r *http.Request, name, password string) (string, error) {
			account, err := s.accounts.SignInApp(r.Context(), name, password, trusted.client(r))
			return account.Instance, davRefusal(err)
		},
		Instance: func(ctx context.Context, name string) (*home.Instance, error) {
			return openInstance(ctx, g, name, false)
		},
		Moved: s.movedTo,
		Log:   s.log,
	})
	return nil
}

// davRefusal says in the words of the dav package why somebody is not let in.
func davRefusal(err error) error {
	var throttled *accounts.ThrottledError
	switch {
	case errors.As(err, &throttled):
		return &dav.WaitError{RetryAfter: throttled.RetryAfter}
	case errors.Is(err, accounts.ErrCredentials):
		return dav.ErrUnknown
	}
	return err
}
