package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// services remembers registrations as long as nobody changed them: whether somebody did is asked each time, since a
// service that is suspended stops at once, on every replica.
type services struct {
	a    *Authority
	mu   sync.Mutex
	read map[string]remembered
}

type remembered struct {
	version int64
	service *Service
}

// most is how many are remembered.
const most = 10_000

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *services) get(ctx context.Context, q querier, id string) (*Service, error) {
	var version int64
	err := q.QueryRowContext(ctx, `SELECT version FROM consent_service WHERE id = $1`, id).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the service %.100q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("look for the service %.100q: %w", id, err)
	}
	s.mu.Lock()
	known, ok := s.read[id]
	s.mu.Unlock()
	if ok && known.version == version {
		return known.service, nil
	}
	service, version, err := scanService(q.QueryRowContext(ctx, `SELECT `+serviceColumns+` FROM consent_service WHERE id = $1`, id))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.read) >= most {
		clear(s.read)
	}
	s.read[id] = remembered{version, service}
	return service, nil
}

const serviceColumns = `document, suspended, version, created, changed`

func scanService(row interface{ Scan(...any) error }) (*Service, int64, error) {
	var s Service
	var document string
	var version, created, changed int64
	if err := row.Scan(&document, &s.Suspended, &version, &created, &changed); err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal([]byte(document), &s); err != nil {
		return nil, 0, fmt.Errorf("the stored registration of a service: %w", err)
	}
	s.Created, s.Changed = time.UnixMicro(created).UTC(), time.UnixMicro(changed).UTC()
	return &s, version, nil
}
