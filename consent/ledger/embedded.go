package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
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

	// Only the goroutine that runs uses what follows.
	tree                 *tree // what is committed; nil: unknown, read it again
	links                links // what is committed of some chains
	inserts              *inserts
	begin, release, undo *sql.Stmt // of savepoints
}

// job is a commit that waits.
type job struct {
	ctx   context.Context
	do    func(*sql.Tx) ([]Event, error)
	state atomic.Int32
	done  chan struct{}

	made     []*made
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
	if err := s.prepare(ctx, l.db.Write); err != nil {
		return nil, fmt.Errorf("prepare to write the log: %w", err)
	}
	return s, s.reload(ctx)
}

func (s *embedded) prepare(ctx context.Context, db *sql.DB) (err error) {
	if s.inserts, err = newInserts(ctx, db); err != nil {
		return err
	}
	for stmt, text := range map[**sql.Stmt]string{&s.begin: `SAVEPOINT one`, &s.release: `RELEASE one`, &s.undo: `ROLLBACK TO one`} {
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// reload reads what is committed.
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

// collect takes the jobs that wait now. It lets others run first: those whose commits have just ended often come back
// at once, and one transaction for all of them is half the work of two.
func (s *embedded) collect(first *job) []*job {
	jobs := make([]*job, 0, maxBatch)
	for j, idle := first, 0; len(jobs) < maxBatch && idle < 3; {
		if j != nil && j.state.CompareAndSwap(waiting, taken) {
			jobs = append(jobs, j)
		}
		select {
		case j = <-s.jobs:
			idle = 0
		default:
			j = nil
			idle++
			runtime.Gosched()
		}
	}
	return jobs
}

// batch commits jobs. Where a function ends the transaction for all of them, the others begin again without it.
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

var errLost = errors.New("the transaction has ended")

// try runs jobs in one transaction. Those whose functions fail are finished; it returns the others, which are
// committed unless there is an error.
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
			err = errors.Join(err, rollback(tx))
		}
	}()
	b := &batch{tx: tx, last: map[string]*made{}, next: s.tree.size, begin: tx.StmtContext(ctx, s.begin), release: tx.StmtContext(ctx, s.release), undo: tx.StmtContext(ctx, s.undo)}
	b.maker = s.l.newMaker(len(jobs))
	defer b.maker.finish()
	for i, j := range jobs {
		err := s.one(b, j)
		switch {
		case errors.Is(err, errLost):
			j.finish(err)
			return append(rest, jobs[i+1:]...), err
		case err != nil || j.panicked != nil:
			j.finish(err)
		default:
			rest = append(rest, j)
		}
	}
	return rest, s.seal(ctx, b, rest)
}

// batch is one transaction.
type batch struct {
	tx                   *sql.Tx
	begin, release, undo *sql.Stmt
	last                 map[string]*made // of each chain, after the functions that succeeded
	next                 int64            // index of the next leaf
	maker                *maker
}

// one runs one function under a savepoint. The error wraps errLost where there is no transaction afterwards.
func (s *embedded) one(b *batch, j *job) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	if _, err := b.begin.Exec(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	own := map[string]*made{}
	before := b.next
	j.made = nil
	err := s.call(b, j, own)
	if err == nil && j.panicked == nil {
		if _, err := b.release.Exec(); err != nil {
			return fmt.Errorf("%w: a function that is given a transaction must not end it: %w", errLost, err)
		}
		maps.Copy(b.last, own)
		for _, m := range j.made {
			b.maker.make(m)
		}
		return nil
	}
	b.next = before
	_, err1 := b.undo.Exec()
	_, err2 := b.release.Exec()
	if e := errors.Join(err1, err2); e != nil {
		return errors.Join(err, fmt.Errorf("%w: %w", errLost, e))
	}
	return err
}

// call calls the function and finds the places of its events in their chains.
func (s *embedded) call(b *batch, j *job, own map[string]*made) error {
	events, err := j.call(b.tx)
	if err != nil || j.panicked != nil {
		return err
	}
	for _, e := range events {
		if err := e.check(); err != nil {
			return err
		}
		m, err := s.place(j.ctx, b, own, e)
		if err != nil {
			return err
		}
		own[m.keys.name] = m
		b.next++
		j.made = append(j.made, m)
	}
	return nil
}

// place finds where the chain of an event's person goes on: after an event of this transaction, where it was committed
// last, or in the database.
func (s *embedded) place(ctx context.Context, b *batch, own map[string]*made, e Event) (*made, error) {
	keys, err := s.l.persons.of(ctx, e.Person, true)
	if err != nil {
		return nil, err
	}
	m := &made{keys: keys, event: e, id: b.next, after: own[keys.name]}
	if m.after == nil {
		m.after = b.last[keys.name]
	}
	at, known := s.links[keys.name]
	switch {
	case m.after != nil && m.after.event.forget:
		return nil, errEnded
	case e.forget && m.after != nil:
		return nil, errBusy
	case m.after != nil:
		return m, nil
	case known:
		m.at = at
	default:
		if m.keys, m.at, err = s.l.place(ctx, b.tx, e.Person, keys); err != nil {
			return nil, err
		}
	}
	if e.forget {
		return m, s.l.mayEnd(m.at)
	}
	return m, nil
}

// call calls the function. What it panics with is for who gave it.
func (j *job) call(tx *sql.Tx) (events []Event, err error) {
	defer func() { j.panicked = recover() }()
	return j.do(tx)
}

// seal gives the leaves their places, signs, and commits.
func (s *embedded) seal(ctx context.Context, b *batch, jobs []*job) error {
	if err := b.maker.finish(); err != nil {
		return err
	}
	next := s.tree.clone()
	w := newWriter()
	for _, j := range jobs {
		j.logged = &Logged{ledger: s.l}
		for _, m := range j.made {
			r := m.record
			j.logged.leaves = append(j.logged.leaves, logged{id: next.size, index: next.size, hash: r.hash, counter: r.at.counter})
			w.add(next.size, r)
			next.append(r.hash, w.tile)
		}
	}
	var signed Checkpoint
	if next.size > s.tree.size {
		if err := w.flush(ctx, s.l, b.tx, s.inserts); err != nil {
			return err
		}
		var err error
		if signed, err = s.l.sign(ctx, next); err != nil {
			return err
		}
		if err := storeHead(ctx, b.tx, s.tree.size, signed); err != nil {
			return err
		}
	}
	if err := b.tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, j := range jobs {
		j.logged.seen = signed
	}
	s.committed(next, b.last)
	if signed.Note != nil {
		s.l.advanced(signed)
	}
	return nil
}

// committed remembers what is committed now.
func (s *embedded) committed(t *tree, last map[string]*made) {
	s.tree = t
	if len(s.links) > maxPersons {
		clear(s.links)
	}
	for name, m := range last {
		s.links[name] = m.next
		if m.next.ended {
			delete(s.links, name)
		}
	}
}
