package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
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
	names   string // folded, for whoever looks for them
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
	return s.keep(service, version).service, nil
}

func (s *services) keep(service *Service, version int64) remembered {
	r := remembered{version, service, folded(service.Name + " " + service.LegalName)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.read) >= most {
		clear(s.read)
	}
	s.read[service.ID] = r
	return r
}

// together is how many services are asked for with one query.
const together = 1000

// many is get for those of many that are there, with one query for what is remembered.
func (s *services) many(ctx context.Context, q querier, ids []string) (map[string]remembered, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	found := make(map[string]remembered, len(ids))
	for some := range slices.Chunk(ids, together) {
		if err := s.some(ctx, q, some, found); err != nil {
			return nil, fmt.Errorf("look for services: %w", err)
		}
	}
	return found, nil
}

func (s *services) some(ctx context.Context, q querier, ids []string, found map[string]remembered) error {
	names, args := listed(ids)
	rows, err := q.QueryContext(ctx, `SELECT id, version FROM consent_service WHERE id IN (`+names+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var stale []string
	for rows.Next() {
		var id string
		var version int64
		if err := rows.Scan(&id, &version); err != nil {
			return err
		}
		s.mu.Lock()
		known, ok := s.read[id]
		s.mu.Unlock()
		if ok && known.version == version {
			found[id] = known
		} else {
			stale = append(stale, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(stale) == 0 {
		return err
	}
	return s.load(ctx, q, stale, found)
}

// load reads what is not remembered.
func (s *services) load(ctx context.Context, q querier, ids []string, found map[string]remembered) error {
	names, args := listed(ids)
	rows, err := q.QueryContext(ctx, `SELECT `+serviceColumns+` FROM consent_service WHERE id IN (`+names+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		service, version, err := scanService(rows)
		if err != nil {
			return err
		}
		found[service.ID] = s.keep(service, version)
	}
	return rows.Err()
}

// listed gives the parameters of a list in a statement that has no others.
func listed(ids []string) (names string, args []any) {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(i + 1))
		args = append(args, id)
	}
	return b.String(), args
}

// folded is the same for texts that differ in accents, ligatures, and small or capital letters only.
func folded(text string) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(cases.Fold().String(text)))
	return strings.NewReplacer("œ", "oe", "æ", "ae", "ø", "o", "ł", "l", "đ", "d", "ı", "i").Replace(plain)
}

const serviceColumns = `document, suspended, agreed, agreement, version, created, changed`

func scanService(row interface{ Scan(...any) error }) (*Service, int64, error) {
	var s Service
	var document string
	var version, created, changed int64
	if err := row.Scan(&document, &s.Suspended, &s.Agreed.Runs, &s.Agreed.Where, &version, &created, &changed); err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal([]byte(document), &s); err != nil {
		return nil, 0, fmt.Errorf("the stored registration of a service: %w", err)
	}
	s.Created, s.Changed = time.UnixMicro(created).UTC(), time.UnixMicro(changed).UTC()
	return &s, version, nil
}
