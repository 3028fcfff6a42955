package dav

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// effect is what a request does to a path, as far as locks go.
type effect struct {
	path   string
	member bool // it comes or goes, so that its folder changes
	below  bool // all that is below it goes, too
	lock   bool // it is locked, no more: of other locks on it the home knows
}

// conditions are what must hold for a change.
type conditions struct {
	path                 string // of the request
	host                 string
	ifMatch, ifNoneMatch string
	list                 ifHeader
	effects              []effect
}

// guard returns what looks at the conditions inside the transaction.
func (c *call) guard(path string, effects ...effect) (home.Guard, error) {
	h := c.r.Header
	k := conditions{path: path, host: c.r.Host, ifMatch: h.Get("If-Match"), ifNoneMatch: h.Get("If-None-Match"), effects: effects}
	if text := strings.Join(h.Values("If"), " "); text != "" {
		var ok bool
		if k.list, ok = parseIf(text); !ok {
			return nil, badRequest("The header If cannot be understood (RFC 4918, section 10.4).")
		}
	}
	return k.check, nil
}

func (k *conditions) check(ctx context.Context, s *home.Sight) error {
	locks, err := s.Locks(ctx)
	if err != nil {
		return err
	}
	if err := k.entity(ctx, s); err != nil {
		return err
	}
	if len(k.list) > 0 {
		if ok, err := k.any(ctx, s, locks); err != nil || !ok {
			return errors.Join(err, errCondition)
		}
	}
	return k.unlocked(ctx, s, locks)
}

// entity looks at If-Match and If-None-Match.
func (k *conditions) entity(ctx context.Context, s *home.Sight) error {
	if k.ifMatch == "" && k.ifNoneMatch == "" {
		return nil
	}
	etag, exists, err := tagAt(ctx, s, k.path)
	switch {
	case err != nil:
		return err
	case k.ifMatch == "*" && !exists, k.ifNoneMatch == "*" && exists:
		return errCondition
	case k.ifMatch != "" && k.ifMatch != "*" && !matches(k.ifMatch, etag):
		return errCondition
	case k.ifNoneMatch != "" && k.ifNoneMatch != "*" && matches(k.ifNoneMatch, etag):
		return errCondition
	}
	return nil
}

func tagAt(ctx context.Context, s *home.Sight, path string) (etag string, exists bool, err error) {
	e, err := s.Entry(ctx, path)
	if errors.Is(err, operators.ErrNotFound) {
		return "", false, nil
	}
	return etagOf(&e), err == nil, err
}

// any reports whether one of the lists of If holds.
func (k *conditions) any(ctx context.Context, s *home.Sight, locks []home.Lock) (bool, error) {
	for _, l := range k.list {
		path := k.path
		if l.resource != "" {
			var ok bool
			if path, ok = k.resource(l.resource); !ok {
				continue
			}
		}
		if ok, err := holds(ctx, s, locks, path, l.conditions); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// resource returns the path that a URL of ours means.
func (k *conditions) resource(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host != "" && u.Host != k.host {
		return "", false
	}
	path, err := placeOf(u.Path)
	return path, err == nil
}

func holds(ctx context.Context, s *home.Sight, locks []home.Lock, path string, list []ifCondition) (bool, error) {
	for _, c := range list {
		is := false
		if c.token != "" {
			for i := range locks {
				is = is || locks[i].Token == c.token && locks[i].Covers(path)
			}
		} else {
			etag, _, err := tagAt(ctx, s, path)
			if err != nil {
				return false, err
			}
			is = etag == c.etag
		}
		if is == c.not {
			return false, nil
		}
	}
	return true, nil
}

// unlocked finds out whether the request may do what it does in spite of locks: of each that is in its way, it must have
// the token; of several shared ones at a path, one.
func (k *conditions) unlocked(ctx context.Context, s *home.Sight, locks []home.Lock) error {
	submitted := k.list.tokens()
	for _, e := range k.effects {
		member := e.member
		if member && !e.below {
			_, exists, err := tagAt(ctx, s, e.path)
			if err != nil {
				return err
			}
			member = !exists // what is there already only changes
		}
		if !free(locks, submitted, e, member) {
			return &fault{423, "<D:lock-token-submitted/>", sentence(home.ErrLocked)}
		}
	}
	return nil
}

func free(locks []home.Lock, submitted map[string]bool, e effect, member bool) bool {
	covered, opened := false, false
	for i := range locks {
		l := &locks[i]
		folder := member && l.Path == e.path[:max(strings.LastIndexByte(e.path, '/'), 0)]
		switch {
		case folder, l.Covers(e.path) && !e.lock:
			covered, opened = true, opened || submitted[l.Token]
		case e.below && strings.HasPrefix(l.Path, e.path+"/") && !submitted[l.Token]:
			return false
		}
	}
	return !covered || opened
}
