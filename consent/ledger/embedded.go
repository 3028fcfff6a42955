package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
)

// maxBatch is how many commits go into one transaction at most.
const maxBatch = 512

// embedded is the sequencer on SQLite: one goroutine runs the functions that wait, each under a savepoint, and makes
// their changes, their leaves, and the signed checkpoint durable in one transaction.
type embedded struct {
	l     *Ledger
	jobs  chan *job
	ended chan struct{} // closed when nothing is taken any more

	// Only the goroutine that runs uses these. They are what is committed.
	tree  *tree // nil: unknown, read it again
	links links
}

// job is a commit that waits.
type job struct {
	ctx   context.Context
	do    func(*sql.Tx) ([]Event, error)
	state atomic.Int32
	done  chan struct{}

	records  []*record
	logged   *Logged
	err      error
	panicked any
}

// The states of a job.
const (
	waiting int32 = iota
	taken
	givenUp
)

func newEmbedded(ctx context.Context, l *Ledger) (*embedded, error) {
	s := &embedded{l: l, jobs: make(chan *job, maxBatch), ended: make(chan struct{}), links: links{}}
	return s, s.reload(ctx)
}

func (s *embedded) reload(ctx context.Context) error {
	head, err := head(ctx, s.l.db.Write)
	if err != nil {
		return err
	}
	s.links = links{}
	s.tree, err = loadTree(ctx, s.l.db.Write, head.Size, head.Hash)
	return err
}

func (s *embedded) commit(ctx context.Context, do func(*sql.Tx) ([]Event, error)) (*Logged, error) {
	j := &job{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case s.jobs <- j:
	case <-s.ended:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-j.done:
	case <-s.ended:
		if j.state.CompareAndSwap(waiting, givenUp) {
			return nil, ErrClosed
		}
		<-j.done
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, givenUp) {
			return nil, ctx.Err()
		}
		<-j.done // it has begun, and is soon over
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.logged, j.err
}

// wait has nothing to wait for: a commit has its place when it returns.
func (s *embedded) wait(ctx context.Context, logged *Logged) (Checkpoint, error) {
	if logged.seen.Note == nil { // it had no events
		return s.l.Head(ctx)
	}
	return logged.seen, nil
}

func (s *embedded) run(ctx context.Context) {
	defer close(s.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-s.jobs:
			s.batch(s.collect(first))
		}
	}
}

// collect takes the jobs that wait now.
func (s *embedded) collect(first *job) []*job {
	batch := make([]*job, 0, maxBatch)
	for j, ok := first, true; ok; {
		if j.state.CompareAndSwap(waiting, taken) {
			batch = append(batch, j)
		}
		if len(batch) == maxBatch {
			break
		}
		select {
		case j = <-s.jobs:
		default:
			ok = false
		}
	}
	return batch
}

// batch commits jobs. A function that ends the transaction for all of them is left out, and the others begin again.
func (s *embedded) batch(jobs []*job) {
	for len(jobs) > 0 {
		rest, err := s.try(jobs)
		if err == nil || len(rest) == len(jobs) {
			for _, j := range rest {
				j.finish(err)
			}
			return
		}
		jobs = rest
	}
}

func (j *job) finish(err error) {
	if err != nil {
		j.logged, j.err = nil, err
	}
	close(j.done)
}

// try runs the jobs in one transaction and commits it. Jobs whose functions failed are finished; it returns the
// others, which are committed unless there is an error. With an error, whoever is in rest may be tried again, except
// where that is everybody.
func (s *embedded) try(jobs []*job) (rest []*job, err error) {
	ctx := context.Background() // it belongs to all of them
	if s.tree == nil {
		if err := s.reload(ctx); err != nil {
			return jobs, err
		}
	}
	tx, err := s.l.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return jobs, fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			s.tree = nil // whether it was committed or not: look
			if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
				err = errors.Join(err, e)
			}
		}
	}()
	batch := links{}
	for i, j := range jobs {
		lost, err := s.run1(tx, j, batch)
		if lost {
			j.finish(nonNil(j.err, err))
			return append(rest, jobs[i+1:]...), errors.New("the transaction was lost")
		}
		if err != nil || j.panicked != nil {
			j.finish(err)
			continue
		}
		rest = append(rest, j)
	}
	return rest, s.seal(ctx, tx, rest, batch)
}

func nonNil(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// run1 runs one function under a savepoint. lost says that the whole transaction has ended.
func (s *embedded) run1(tx *sql.Tx, j *job, batch links) (lost bool, err error) {
	if err := j.ctx.Err(); err != nil {
		return false, err
	}
	if _, err := tx.Exec(`SAVEPOINT one`); err != nil {
		return true, fmt.Errorf("begin: %w", err)
	}
	own := links{}
	j.records = nil
	err = s.call(tx, j, batch, own)
	if err == nil && j.panicked == nil {
		if _, err = tx.Exec(`RELEASE one`); err != nil {
			j.err = fmt.Errorf("the function ended the transaction that it was given: %w", err)
			return true, err
		}
		maps.Copy(batch, own)
		return false, nil
	}
	if _, e := tx.Exec(`ROLLBACK TO one; RELEASE one`); e != nil {
		return true, err
	}
	return false, err
}

// call calls the function and makes leaves of its events.
func (s *embedded) call(tx *sql.Tx, j *job, batch, own links) error {
	events, err := func() (events []Event, err error) {
		defer func() {
			if r := recover(); r != nil {
				j.panicked = r
			}
		}()
		return j.do(tx)
	}()
	if err != nil || j.panicked != nil {
		return err
	}
	for _, e := range events {
		if err := e.check(); err != nil {
			return err
		}
		keys, at, err := s.l.place(j.ctx, tx, e.Person, own, batch, s.links)
		if err != nil {
			return err
		}
		if e.forget {
			if err := s.l.mayEnd(at); err != nil {
				return err
			}
		}
		r := s.l.record(keys, at, e)
		if own[keys.name], err = r.opened.next(); err != nil {
			return err
		}
		j.records = append(j.records, r)
	}
	return nil
}

// seal gives the leaves their places, signs, and commits.
func (s *embedded) seal(ctx context.Context, tx *sql.Tx, jobs []*job, batch links) error {
	next := s.tree.clone()
	w := writer{tx: tx}
	for _, j := range jobs {
		j.logged = &Logged{ledger: s.l}
		for _, r := range j.records {
			j.logged.leaves = append(j.logged.leaves, logged{id: next.size, index: next.size, hash: r.hash})
			w.add(next.size, r)
			next.append(r.hash, w.tile)
		}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	signed := Checkpoint{}
	if next.size > s.tree.size {
		var err error
		if signed, err = s.l.sign(ctx, next); err != nil {
			return err
		}
		if err := storeHead(ctx, tx, s.tree.size, signed); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.tree = next
	if len(s.links) > maxPersons {
		clear(s.links)
	}
	for name, at := range batch {
		s.links[name] = at
		if at.ended {
			delete(s.links, name)
		}
	}
	for _, j := range jobs {
		j.logged.seen = signed
	}
	if signed.Note != nil {
		s.l.advanced(signed)
	}
	return nil
}
