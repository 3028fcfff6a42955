package home

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Target returns the instance to be written to.
func (i *Instance) Target() *Target { return &Target{i: i} }

// Target is an instance as something to write to. It remembers which archives were loaded.
type Target struct{ i *Instance }

// Close implements [operators.Target].
func (t *Target) Close() error { return nil }

// series is what was loaded, or is being loaded.
type series struct {
	id       int64
	instance int64
	finished bool
	applied  operators.Applied
}

// series returns the series of that name, or nil if nothing of it was ever loaded.
func (t *Target) series(ctx context.Context, name string) (*series, error) {
	var s series
	var root []byte
	err := t.i.home.db.Read.QueryRowContext(ctx, `SELECT id, instance, finished, person, sequence, root FROM home_series WHERE series = $1`, name).
		Scan(&s.id, &s.instance, &s.finished, &s.applied.Person, &s.applied.Sequence, &root)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find out what was loaded before: %w", err)
	case s.instance != t.i.id:
		return nil, fmt.Errorf("%w: it was loaded into another instance of this operator", operators.ErrOtherPerson)
	}
	copy(s.applied.Root[:], root)
	return &s, nil
}

// Applied implements [operators.SeriesKeeper].
func (t *Target) Applied(ctx context.Context, name string) (operators.Applied, bool, error) {
	s, err := t.series(ctx, name)
	if err != nil || s == nil || !s.finished {
		return operators.Applied{}, false, err
	}
	return s.applied, true, nil
}

// Load implements [operators.Target].
func (t *Target) Load(ctx context.Context, origin operators.Origin) (operators.Load, error) {
	if origin.Series == "" {
		origin.Series = "copy " + rand.Text()
	}
	unlock, err := t.i.lockPatiently(ctx)
	if err != nil {
		return nil, err
	}
	l, err := t.begin(ctx, origin)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	l.unlock = unlock
	return l, nil
}

func (t *Target) begin(ctx context.Context, origin operators.Origin) (*load, error) {
	if err := t.i.removeUnfinished(); err != nil {
		return nil, fmt.Errorf("clear up after an earlier load: %w", err)
	}
	s, err := t.series(ctx, origin.Series)
	if err != nil {
		return nil, err
	}
	if s != nil && s.applied.Person != origin.Person {
		return nil, operators.ErrOtherPerson
	}
	l := &load{w: newWriter(t.i), origin: origin, dirs: map[string]string{}}
	l.mark = formats.HashOf([]byte(origin.Series)).String()[:8]
	if s != nil {
		l.series = s.id
		return l, l.w.during(ctx, l.open)
	}
	l.series = randomID()
	return l, l.w.during(ctx, func() error {
		return l.w.exec(`
			INSERT INTO home_series (id, instance, series, operator, person, finished, sequence, root) VALUES ($1, $2, $3, $4, $5, FALSE, 0, $6)`,
			l.series, t.i.id, origin.Series, origin.Operator, origin.Person, make([]byte, len(formats.Hash{})))
	})
}
