package ledger

// made is an event on its way to become a leaf.
type made struct {
	event Event
	keys  *personKeys
	id    int64
	after *made // the event before in the chain, if it is in the same transaction
	at    link  // otherwise: where it goes on

	record *record
	next   link // where the chain goes on after it
}

// make makes the leaf.
func (l *Ledger) make(m *made) (err error) {
	at := m.at
	if m.after != nil {
		at = m.after.next
	}
	m.record = l.record(m.keys, at, m.event)
	m.next, err = m.record.opened.next(m.id)
	return err
}

// maker makes leaves on a processor of its own, in their order, while the database works.
type maker struct {
	l    *Ledger
	todo chan *made // nil: nothing is made beside
	done chan struct{}
	err  error
}

// newMaker returns a maker for a number of commits. For one it is not worth while.
func (l *Ledger) newMaker(commits int) *maker {
	m := &maker{l: l}
	if commits == 1 {
		return m
	}
	m.todo, m.done = make(chan *made, maxBatch), make(chan struct{})
	go func() {
		defer close(m.done)
		for next := range m.todo {
			if m.err == nil {
				m.err = l.make(next)
			}
		}
	}()
	return m
}

func (m *maker) make(next *made) {
	if m.todo != nil {
		m.todo <- next
	} else if m.err == nil {
		m.err = m.l.make(next)
	}
}

// finish waits until everything is made. It may be called again.
func (m *maker) finish() error {
	if m.todo != nil {
		close(m.todo)
		<-m.done
		m.todo = nil
	}
	return m.err
}
