package consent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// AccessRecord is what is kept of one access.
type AccessRecord struct {
	ID       string
	Revision int
	Datasets []formats.Dataset
	Action   Action
	Begun    time.Time
	Ended    time.Time // zero: it has not, or nobody knows when
	Open     bool      // bytes may flow
	Records  int64
	Bytes    int64
	Outcome  string // Complete, CutOff, Failed; "" while it is not known
}

// Accesses returns what was read on a consent of a person, the last first: up to limit after the place that before names,
// which is the next of an earlier call, or "" at the beginning. next is "" at the end. The error wraps [ErrNotFound], or
// [ErrRequest] where before is no such place.
func (a *Authority) Accesses(ctx context.Context, consent, person string, before string, limit int) (list []AccessRecord, next string, err error) {
	at, err := parseCursor(before)
	if err != nil {
		return nil, "", err
	}
	if _, err := a.own(ctx, a.db.Read, consent, `person`, person); err != nil {
		return nil, "", err
	}
	limit = sized(limit)
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT id, revision, dataset, action, begun, ended, open, records, bytes, outcome FROM consent_access
		WHERE consent = $1 AND begun <= $2 AND (begun < $2 OR id < $3) ORDER BY begun DESC, id DESC LIMIT $4`, consent, at.begun, at.id, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list what was read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanAccess(rows)
		if err != nil {
			return nil, "", err
		}
		list = append(list, r)
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{micro(list[limit-1].Begun), list[limit-1].ID}.String()
	}
	return list, next, rows.Err()
}

func scanAccess(row interface{ Scan(...any) error }) (AccessRecord, error) {
	var r AccessRecord
	var datasets string
	var begun, ended int64
	err := row.Scan(&r.ID, &r.Revision, &datasets, &r.Action, &begun, &ended, &r.Open, &r.Records, &r.Bytes, &r.Outcome)
	r.Datasets, r.Begun, r.Ended = datasetsIn(datasets), fromMicro(begun), fromMicro(ended)
	return r, err
}

// cursor is a place among accesses: after the one that it names.
type cursor struct {
	begun int64
	id    string
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.begun, 10) + " " + c.id))
}

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{begun: math.MaxInt64}, nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	begun, id, _ := strings.Cut(string(plain), " ")
	c := cursor{id: id}
	var fault error
	if c.begun, fault = strconv.ParseInt(begun, 10, 64); errors.Join(err, fault, uuid.Validate(id)) != nil || c.String() != text {
		return c, fmt.Errorf("%w: there is no such place in the list: %.100q", ErrRequest, text)
	}
	return c, nil
}
