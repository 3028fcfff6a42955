package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is somebody who cosigns our checkpoints (C2SP tlog-witness), such as another operator.
type Witness struct {
	Key string // C2SP tlog-cosignature: name+hash+key
	URL string // what "/add-checkpoint" is appended to
}

// ParseWitness reads "KEY URL".
func ParseWitness(s string) (Witness, error) {
	key, where, ok := strings.Cut(strings.TrimSpace(s), " ")
	w := Witness{Key: key, URL: strings.TrimSuffix(strings.TrimSpace(where), "/")}
	if !ok {
		return w, fmt.Errorf("%.200q is not a witness: give its key, a space, and its URL", s)
	}
	_, err := w.verifier()
	return w, err
}

// verifier checks both halves.
func (w Witness) verifier() (*torchwood.CosignatureVerifier, error) {
	v, err := torchwood.NewCosignatureVerifier(w.Key)
	if err != nil {
		return nil, fmt.Errorf("%.200q is not the key of a witness (name+hash+key): %w", w.Key, err)
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%.200q is not the URL of the witness %s", w.URL, v.Name())
	}
	return v, nil
}

// asker asks one witness.
type asker struct {
	Witness
	verifier *torchwood.CosignatureVerifier
	client   *http.Client

	mu     sync.Mutex // one question at a time
	size   int64      // what the witness saw last, as far as we know
	failed int        // times in a row
	next   time.Time  // before which a witness that failed is left alone
}

func newAskers(o Options) ([]*asker, error) {
	client := *o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var askers []*asker
	names := map[string]bool{}
	for _, w := range o.Witnesses {
		v, err := w.verifier()
		if err != nil {
			return nil, err
		}
		if names[v.Name()] {
			return nil, fmt.Errorf("the witness %s is configured twice", v.Name())
		}
		names[v.Name()] = true
		askers = append(askers, &asker{Witness: w, verifier: v, client: &client})
	}
	return askers, nil
}

const (
	maxAnswer  = 64 << 10 // bytes
	maxBackoff = time.Minute
	// settling is how long a checkpoint that has its quorum waits for the other witnesses.
	settling = 200 * time.Millisecond
	// republish is how often a checkpoint is offered again to witnesses that have not cosigned it.
	republish = time.Minute
	// standIn is how often a replica looks whether another one that committed did not publish.
	standIn = time.Second
)

// The ways in which a witness contradicts the log.
var (
	errContradicted = errors.New("contradicted")
	errAhead        = fmt.Errorf("%w: it has seen more", errContradicted)
	errForked       = fmt.Errorf("%w: it has seen something else", errContradicted)
)

// ask asks for a cosignature, and returns its line. The error wraps errContradicted where the witness has seen more than
// this checkpoint, or something else.
func (a *asker) ask(ctx context.Context, log *Log, at Checkpoint) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range 3 {
		old := a.size
		if old > at.Size {
			old = 0 // it says what it saw
		}
		status, answer, err := a.post(ctx, log, at, old)
		if err != nil {
			return nil, err
		}
		switch status {
		case http.StatusOK:
			a.size = at.Size
			return a.verify(at, answer)
		case http.StatusConflict:
			if a.size, err = parseCount(strings.TrimSuffix(string(answer), "\n")); err != nil {
				return nil, fmt.Errorf("it answers 409 without saying which size it saw")
			}
			if a.size > at.Size {
				return nil, fmt.Errorf("%w: it has cosigned %d leaves of this log, and the database has %d", errAhead, a.size, at.Size)
			}
			if a.size == old {
				return nil, fmt.Errorf("%w: it has cosigned another log of %d leaves under this name", errForked, old)
			}
		case http.StatusUnprocessableEntity:
			return nil, fmt.Errorf("%w: it has cosigned %d leaves of this log which are not the first %d here", errForked, old, old)
		case http.StatusNotFound:
			return nil, errors.New("it does not watch this log: its operator has to add the log's key")
		case http.StatusForbidden:
			return nil, errors.New("it knows the log under another key: tell its operator that the key was rotated")
		default:
			return nil, fmt.Errorf("it answers %d: %.100q", status, answer)
		}
	}
	return nil, errors.New("it changes its mind on what it saw: somebody else may be asking too")
}

// post sends one question.
func (a *asker) post(ctx context.Context, log *Log, at Checkpoint, old int64) (int, []byte, error) {
	body := []byte("old " + strconv.FormatInt(old, 10) + "\n")
	if old > 0 && old < at.Size {
		proof, err := tlog.ProveTree(at.Size, old, log.hashes(ctx, at))
		if err != nil {
			return 0, nil, fmt.Errorf("prove that the log only grew: %w", err)
		}
		for _, h := range proof {
			body = append(body, base64.StdEncoding.EncodeToString(h[:])+"\n"...)
		}
	}
	body = append(append(body, '\n'), at.Note...)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := a.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	}
	return response.StatusCode, answer, err
}

// verify returns the line of the answer that is the witness's cosignature.
func (a *asker) verify(at Checkpoint, answer []byte) ([]byte, error) {
	text, _, _ := bytes.Cut(at.Note, []byte("\n\n"))
	signed := append(append(bytes.Clone(text), "\n\n"...), answer...)
	n, err := note.Open(signed, note.VerifierList(a.verifier))
	if err != nil {
		return nil, fmt.Errorf("its cosignature is not good: %w", err)
	}
	return []byte("— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n"), nil
}

// outcome counts and remembers how a question ended, and reports whether it was answered.
func (l *Ledger) outcome(a *asker, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.failed, a.next = 0, time.Time{}
		l.stats.cosigned.WithLabelValues(a.verifier.Name(), "cosigned").Inc()
		return true
	}
	a.failed++
	a.next = time.Now().Add(min(maxBackoff, 250*time.Millisecond<<min(a.failed, 10)))
	result := "failed"
	if errors.Is(err, errContradicted) {
		result = "contradicted"
	}
	l.stats.cosigned.WithLabelValues(a.verifier.Name(), result).Inc()
	l.opt.Log.Warn("a witness did not cosign", "witness", a.verifier.Name(), "error", err)
	return false
}

// due reports whether a witness is to be asked: not while it still owes an answer, nor soon after it failed.
func (a *asker) due() bool {
	if !a.mu.TryLock() {
		return false
	}
	defer a.mu.Unlock()
	return !time.Now().Before(a.next)
}

// askSizes asks the witnesses at the start whether they have seen more than the database holds. One that does not answer
// in time does not stop the start.
func (l *Ledger) askSizes(ctx context.Context, head Checkpoint) error {
	ctx, stop := context.WithTimeout(ctx, l.opt.Patience)
	defer stop()
	answers := make(chan error, len(l.askers))
	for _, a := range l.askers {
		go func() {
			_, err := a.ask(ctx, l.Log, head)
			l.outcome(a, err)
			answers <- l.contradiction(ctx, a, err)
		}()
	}
	var all error
	for range l.askers {
		all = errors.Join(all, <-answers)
	}
	return all
}

// contradiction returns an error wrapping ErrRolledBack where a witness proves that the database is not what it was.
func (l *Ledger) contradiction(ctx context.Context, a *asker, err error) error {
	if !errors.Is(err, errContradicted) {
		return nil
	}
	// Another replica may have shown the witness more than we knew of.
	head, e := l.Head(ctx)
	a.mu.Lock()
	seen := a.size
	a.mu.Unlock()
	if errors.Is(err, errAhead) && e == nil && seen <= head.Size {
		return nil
	}
	return fmt.Errorf("%w: the witness %s says: %w. If the database was restored from a backup, restore the newest one; "+
		"if the witness is wrong, start without it", ErrRolledBack, a.verifier.Name(), err)
}

// publish keeps the high-water file and, where there are witnesses, has them cosign the newest checkpoint and publishes
// it. It runs after commits, though not more often than a few times a second, and never holds one up.
func (l *Ledger) publish(ctx context.Context) {
	ticker := time.NewTicker(standIn)
	defer ticker.Stop()
	var p progress
	for {
		own := false
		select {
		case <-ctx.Done():
			return
		case <-l.nudge:
			own = true
		case <-ticker.C:
		}
		if err := l.publishHead(ctx, own, &p); err != nil && ctx.Err() == nil {
			l.opt.Log.Error("the checkpoint cannot be published", "error", err)
		}
		if !pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}

// progress is what this process knows of what is published.
type progress struct {
	size    int64     // published when we looked last
	since   time.Time // when we first saw that size
	offered time.Time // when we asked witnesses last
}

// publishHead publishes the newest checkpoint. Where another process committed it, that one has the time to do so first.
func (l *Ledger) publishHead(ctx context.Context, own bool, p *progress) error {
	head, err := l.Head(ctx)
	if err != nil {
		return err
	}
	if err := l.water.rise(head); err != nil {
		return err
	}
	if len(l.askers) == 0 {
		l.stats.published.Set(float64(head.Size))
		return nil
	}
	published, err := l.Published(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if published.Size != p.size {
		p.size, p.since = published.Size, now
	}
	again := republish
	if len(published.Note) <= len(head.Note) { // nobody has cosigned it
		again = republish / 10
	}
	switch {
	case published.Size == head.Size && now.Sub(p.offered) < again:
		return nil
	case !own && now.Sub(p.since) < l.opt.Patience+standIn:
		return nil
	}
	p.offered = now
	return l.offer(ctx, head)
}

// offer asks all witnesses that are not left alone, and publishes what there is when enough of them, or all, have
// answered, or at the end of patience. What comes later is added.
func (l *Ledger) offer(ctx context.Context, head Checkpoint) error {
	lines := make(chan []byte, len(l.askers))
	asked := 0
	for _, a := range l.askers {
		if !a.due() {
			continue
		}
		asked++
		l.work.Go(func() {
			line, err := a.ask(ctx, l.Log, head)
			if ctx.Err() == nil {
				l.outcome(a, err)
				if err := l.contradiction(ctx, a, err); err != nil {
					l.refuse(err)
				}
			}
			lines <- line
		})
	}
	signed, n := bytes.Clone(head.Note), 0
	patience := time.NewTimer(l.opt.Patience)
	defer patience.Stop()
	for asked > 0 {
		select {
		case line := <-lines:
			asked--
			if line != nil {
				signed, n = append(signed, line...), n+1
			}
			if n == l.opt.Quorum && n > 0 {
				patience.Reset(settling)
			}
			continue
		case <-patience.C:
		case <-ctx.Done():
		}
		break
	}
	if asked > 0 {
		l.work.Go(func() { l.late(ctx, head, bytes.Clone(signed), lines, asked) })
	}
	if n < l.opt.Quorum {
		l.opt.Log.Warn("a checkpoint is published without the witnesses that it should have", "size", head.Size, "cosignatures", n, "quorum", l.opt.Quorum)
	}
	return l.storePublished(ctx, head, signed)
}

// late adds cosignatures that come after a checkpoint was published.
func (l *Ledger) late(ctx context.Context, head Checkpoint, signed []byte, lines <-chan []byte, n int) {
	for range n {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			if line == nil {
				continue
			}
			signed = append(signed, line...)
			if err := l.storePublished(ctx, head, signed); err != nil && ctx.Err() == nil {
				l.opt.Log.Error("a cosignature cannot be stored", "error", err)
			}
		}
	}
}

// storePublished publishes a checkpoint, unless a later one, or the same one with more cosignatures, is published.
func (l *Ledger) storePublished(ctx context.Context, head Checkpoint, signed []byte) error {
	_, err := l.db.Write.ExecContext(ctx, `INSERT INTO ledger_published (one, size, checkpoint) VALUES (1, $1, $2)
		ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint
		WHERE ledger_published.size < excluded.size
		OR (ledger_published.size = excluded.size AND length(ledger_published.checkpoint) <= length(excluded.checkpoint))`,
		head.Size, string(signed))
	if err != nil {
		return fmt.Errorf("publish a checkpoint: %w", err)
	}
	l.stats.published.Set(float64(head.Size))
	return nil
}

// unpublish lets the newest checkpoint be the published one, where there are no witnesses any more.
func (l *Ledger) unpublish(ctx context.Context) error {
	if _, err := l.db.Write.ExecContext(ctx, `DELETE FROM ledger_published`); err != nil {
		return fmt.Errorf("publish checkpoints without witnesses: %w", err)
	}
	return nil
}
