package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// Pausing is a person's word that nothing is to be read for now, or that it may be again.
type Pausing struct {
	Consent, Person string
	Session         SessionFacts
}

// Interval is a time during which a consent was paused.
type Interval struct {
	Begun, Ended time.Time // Ended is zero while it lasts
}

// Pause lets nothing be read on a consent until [Authority.Resume]. The consent stays what it is, and so do its tokens. When
// Pause returns without an error, every stream of it has ended, or cannot send one more byte, on every replica; see
// [Authority.Withdraw]. To pause what is paused is no error. The error wraps [ErrNotFound], or [ErrState] where the consent
// is not valid. A pause ends with the consent, and when the person grants more of it or replaces it; not when they shorten
// or renew a consent that is valid.
func (a *Authority) Pause(ctx context.Context, p Pausing) (Consent, error) {
	c, err := a.pausing(ctx, p, true)
	if err != nil {
		return c, fmt.Errorf("pause: %w", err)
	}
	if err := a.stopConsent(ctx, c.ID); err != nil {
		return c, fmt.Errorf("it is paused, but whether all that was under way has ended is not known: %w", err)
	}
	return c, nil
}

// Resume lets data be read again on a consent that was paused. To resume what is not paused is no error. The error is
// that of [Authority.Pause].
func (a *Authority) Resume(ctx context.Context, p Pausing) (Consent, error) {
	c, err := a.pausing(ctx, p, false)
	if err != nil {
		return c, fmt.Errorf("resume: %w", err)
	}
	return c, nil
}

// pausing makes a valid consent paused, or not, and tells its service.
func (a *Authority) pausing(ctx context.Context, p Pausing, paused bool) (Consent, error) {
	var c Consent
	what := map[bool]string{true: "paused", false: "resumed"}[paused]
	changed := false
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		var err error
		if c, err = a.locked(ctx, tx, p.Consent, `person`, p.Person); err != nil {
			return nil, err
		}
		now := a.now().UTC()
		if !c.Valid(now) {
			return nil, fmt.Errorf("%w: it stands as %s", ErrState, c.expired(now))
		}
		if changed = c.Paused.IsZero() == paused; !changed {
			return nil, nil
		}
		if paused {
			err = c.pause(ctx, tx, now, p.Session.Method)
		} else {
			err = c.resume(ctx, tx, now, p.Session.Method)
		}
		if err == nil {
			err = a.tell(ctx, tx, c)
		}
		return []ledger.Event{c.pauseEvent("consent."+what, p.Session)}, err
	})
	if err == nil && changed {
		a.stats.decided(what)
	}
	return c, err
}

func (c *Consent) pause(ctx context.Context, tx *sql.Tx, now time.Time, method string) error {
	c.Paused = now.Truncate(time.Microsecond) // as it is kept
	c.pauses++
	_, err := tx.ExecContext(ctx, `INSERT INTO consent_pause (consent, begun, ended, method, resumed) VALUES ($1, $2, 0, $3, '')`, c.ID, micro(now), method)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE consent_consent SET paused = $2, pauses = pauses + 1 WHERE id = $1`, c.ID, micro(now))
	}
	if err != nil {
		return fmt.Errorf("store the pause: %w", err)
	}
	return nil
}

// resume ends a pause, if there is one.
func (c *Consent) resume(ctx context.Context, tx *sql.Tx, at time.Time, method string) error {
	if c.Paused.IsZero() {
		return nil
	}
	c.Paused = time.Time{}
	_, err := tx.ExecContext(ctx, `UPDATE consent_pause SET ended = $2, resumed = $3 WHERE consent = $1 AND ended = 0`, c.ID, micro(at), method)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE consent_consent SET paused = 0 WHERE id = $1`, c.ID)
	}
	if err != nil {
		return fmt.Errorf("end the pause: %w", err)
	}
	return nil
}

// unpause ends the pause of a consent that a revision ends, or that had expired before it.
func (c *Consent) unpause(ctx context.Context, tx *sql.Tx, rev Revision, now time.Time) error {
	if c.expired(now) == Expired {
		return c.resume(ctx, tx, c.Expires, "time")
	}
	if rev.State.Valid() {
		return nil
	}
	return c.resume(ctx, tx, now, rev.Method)
}

func (c *Consent) pauseEvent(what string, s SessionFacts) ledger.Event {
	text, _ := json.Marshal(struct {
		Method string `json:"method,omitempty"`
	}{s.Method}) // a text only
	return ledger.Event{Person: c.Person, Class: ledger.Decision, Type: what, Service: c.Service, Consent: c.ID, Revision: strconv.Itoa(c.Revision),
		Dataset: datasetsOf(c.Details), Regime: strings.Join(c.Packs, ", "), Detail: string(text)}
}

// Pauses returns when a consent was paused, the first time first.
func (a *Authority) Pauses(ctx context.Context, consent string) ([]Interval, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT begun, ended FROM consent_pause WHERE consent = $1 ORDER BY begun, ended`, consent)
	if err != nil {
		return nil, fmt.Errorf("list the pauses: %w", err)
	}
	defer rows.Close()
	var list []Interval
	for rows.Next() {
		var begun, ended int64
		if err := rows.Scan(&begun, &ended); err != nil {
			return nil, err
		}
		list = append(list, Interval{fromMicro(begun), fromMicro(ended)})
	}
	return list, rows.Err()
}
