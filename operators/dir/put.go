package dir

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// incoming is a record on its way in.
type incoming struct {
	formats.Record               // becomes the record that is held
	key            digest        // in its series
	state          formats.State // as the series knows it
	path, id       string        // as they came
	result         operators.Result
	adopted        bool // the person has had the same file before
}

// PutRecord implements [operators.Load]. It holds every sound record.
func (l *Load) PutRecord(ctx context.Context, r formats.Record) (operators.Outcome, error) {
	if err := l.check(ctx); err != nil {
		return operators.Outcome{}, err
	}
	line, err := r.AppendLine(l.line[:0])
	if err != nil {
		return operators.Outcome{}, err
	}
	l.line = line
	in := &incoming{Record: r, key: keyOf(r.Dataset, r.ID), path: r.Path, id: r.ID, result: operators.Stored}
	in.state = formats.State{Dataset: r.Dataset, ID: r.ID, Record: formats.HashOf(line)}
	if r.Blob != nil {
		in.state.Blob = r.Blob.SHA256
	}
	if r.Blob != nil && in.state.Blob.IsZero() {
		return operators.Outcome{}, fmt.Errorf("%w: %s/%s: its blob has no hash", formats.ErrInvalid, r.Dataset, r.ID)
	}
	c, known := l.claims[in.key]
	h := l.held[c.here]
	switch {
	case !r.Deleted.IsZero() && !known:
		return operators.Outcome{Result: operators.Present, Record: r}, nil
	case !r.Deleted.IsZero():
		return l.remove(in, c, h)
	case known && c.line == short(in.state.Record):
		return l.putAgain(ctx, in, c, h)
	case known:
		return l.update(ctx, in, c, h)
	}
	return l.add(ctx, in)
}

// putAgain meets a record that the series has brought before. Only bytes that are gone are put back.
func (l *Load) putAgain(ctx context.Context, in *incoming, c claim, h held) (operators.Outcome, error) {
	now, err := l.read(h.place)
	if err != nil {
		return operators.Outcome{}, err
	}
	there, err := l.there(h.place, &now)
	if err != nil {
		return operators.Outcome{}, err
	}
	if !there {
		return l.update(ctx, in, c, h)
	}
	return operators.Outcome{Result: operators.Present, Record: now}, nil
}

// there reports whether something is where the bytes of a held record should be.
func (l *Load) there(p place, r *formats.Record) (bool, error) {
	switch {
	case inTree(r):
		_, there, err := l.intact(p, r)
		return there, err
	case r.Blob == nil || l.fresh(p):
		return true, nil
	}
	return exists(l.target.root, blobsDir+"/"+r.Blob.SHA256.String(), r.Blob.Size)
}

// add meets a record that is new to the series.
func (l *Load) add(ctx context.Context, in *incoming) (operators.Outcome, error) {
	here := keyOf(in.Dataset, in.ID)
	if h, taken := l.held[here]; taken {
		same, err := l.same(in, h)
		if err != nil {
			return operators.Outcome{}, err
		}
		if same {
			h.claims++
			l.held[here] = h
			return operators.Outcome{Result: operators.Present, Record: in.Record}, l.claim(claimLine{in.state, in.ID})
		}
		in.ID = l.freeID(in.Dataset, in.ID)
	}
	return l.store(ctx, in)
}

// same reports whether a record is held already, and what it is about is still there.
func (l *Load) same(in *incoming, h held) (bool, error) {
	if h.line != short(in.state.Record) || !inTree(&in.Record) {
		return h.line == short(in.state.Record), nil
	}
	intact, _, err := l.intact(h.place, &in.Record)
	return intact, err
}

// freeID returns an id for a record whose own id something else has here.
func (l *Load) freeID(d formats.Dataset, id string) string {
	mark := seriesKey(l.origin.Series)[:5]
	for n := 1; ; n++ {
		candidate := fmt.Sprintf("%s (%s-%d)", id, mark, n)
		if len(candidate) > 512 {
			candidate = hashedID(candidate)
		}
		if _, taken := l.held[keyOf(d, candidate)]; !taken {
			return candidate
		}
	}
}

// update meets another state of a record that the series has brought.
func (l *Load) update(ctx context.Context, in *incoming, c claim, h held) (operators.Outcome, error) {
	old, err := l.read(h.place)
	if err != nil {
		return operators.Outcome{}, err
	}
	in.result = operators.Updated
	if h.claims > 1 { // another series has it too, and keeps it as it is
		l.unclaim(in.key, c)
		in.ID = l.freeID(in.Dataset, in.ID)
		return l.store(ctx, in)
	}
	in.ID = old.ID
	if in.Blob != nil { // while the old bytes are still known
		if err := l.secure(ctx, &in.Record); err != nil {
			return operators.Outcome{}, err
		}
	}
	if err := l.release(&old, h); err != nil {
		return operators.Outcome{}, err
	}
	return l.store(ctx, in)
}

// remove meets a tombstone.
func (l *Load) remove(in *incoming, c claim, h held) (operators.Outcome, error) {
	old, err := l.read(h.place)
	if err != nil {
		return operators.Outcome{}, err
	}
	l.unclaim(in.key, c)
	kept := operators.Outcome{Result: operators.Kept, Record: old}
	if h.claims > 1 {
		return kept, nil
	}
	if inTree(&old) && old.Kind != formats.KindFolder {
		if intact, there, err := l.intact(h.place, &old); err != nil || there && !intact {
			return kept, err
		}
	}
	if err := l.release(&old, h); err != nil {
		return operators.Outcome{}, err
	}
	delete(l.held, c.here)
	return operators.Outcome{Result: operators.Removed, Record: in.Record}, nil
}

// release gives up what a held record has on disk. A file that the person has changed stays where it is.
func (l *Load) release(old *formats.Record, h held) error {
	if !inTree(old) {
		l.orphans = l.orphans || old.Blob != nil
		return nil
	}
	location := l.names.locationOf(old)
	at := l.spotKey(location)
	s := l.spots[at]
	if old.Kind == formats.KindFolder {
		s.folders--
		l.spots[at] = s
		if s.folders > 0 {
			return nil
		}
		return l.plan.add(step{Do: doRemoveFolder, At: []byte(location)})
	}
	intact, there, err := l.intact(h.place, old)
	if err != nil {
		return err
	}
	if there && !intact {
		delete(l.spots, at) // it is the person's now: the disk says so
		return nil
	}
	l.spots[at] = spot{freed: true}
	return l.plan.add(step{Do: doRemove, At: []byte(location), OldSize: old.Blob.Size, OldTime: diskTime(old.Modified)})
}

// store gives a record its place and bytes, and holds it.
func (l *Load) store(ctx context.Context, in *incoming) (operators.Outcome, error) {
	in.Links = l.links(in.Links)
	var err error
	switch {
	case inTree(&in.Record):
		err = l.settle(ctx, in)
	case in.Blob != nil:
		err = l.keep(ctx, in)
	}
	if err != nil {
		return operators.Outcome{}, err
	}
	if l.line, err = in.AppendLine(l.line[:0]); err != nil {
		return operators.Outcome{}, err
	}
	at, err := l.records.add(l.line)
	if err != nil {
		return operators.Outcome{}, err
	}
	dataset := int8(slices.Index(formats.Datasets(), in.Dataset))
	h := held{place: at, line: short(formats.HashOf(l.line)), claims: 1, dataset: dataset}
	c := claimLine{in.state, in.ID}
	if in.adopted {
		h.claims++
		if _, err := l.adopted.add(c.append(l.line[:0])); err != nil {
			return operators.Outcome{}, err
		}
	}
	l.held[keyOf(in.Dataset, in.ID)] = h
	if in.Path != in.path || in.ID != in.id {
		in.result = operators.Renamed
	}
	return operators.Outcome{Result: in.result, Record: in.Record}, l.claim(c)
}

// links returns links to those records of this series that have another id here.
func (l *Load) links(links []formats.Link) []formats.Link {
	if len(l.renamed) == 0 {
		return links
	}
	links = slices.Clone(links)
	for i, link := range links {
		if id, ok := l.renamed[keyOf(link.Dataset, link.ID)]; ok {
			links[i].ID = id
		}
	}
	return links
}

// keep keeps the bytes of a record that has no place in the tree.
func (l *Load) keep(ctx context.Context, in *incoming) error {
	if err := l.secure(ctx, &in.Record); err != nil {
		return err
	}
	if _, ok := l.staged[short(in.Blob.SHA256)]; !ok {
		return nil // they are kept already
	}
	from, err := l.take(in.Blob.SHA256, time.Time{}, false)
	if err != nil {
		return err
	}
	return l.plan.add(step{Do: doKeep, From: from, At: []byte(blobsDir + "/" + in.Blob.SHA256.String())})
}

// settle finds the place in the tree where the file or folder of a record can be, and plans to put it there.
func (l *Load) settle(ctx context.Context, in *incoming) error {
	if in.Kind == formats.KindFolder {
		return l.settleFolder(in)
	}
	if err := l.secure(ctx, &in.Record); err != nil {
		return err
	}
	location, mine, err := l.findFile(ctx, in)
	if err != nil {
		return err
	}
	at := l.spotKey(location)
	l.spots[at] = spot{file: true, freed: l.spots[at].freed}
	if mine { // nothing to do, and never to be removed
		in.adopted = true
		return nil
	}
	from, err := l.take(in.Blob.SHA256, in.Modified, bytes.Contains(in.Body, []byte(`"executable":true`)))
	if err != nil {
		return err
	}
	return l.plan.add(step{Do: doPut, From: from, At: []byte(location)})
}

func (l *Load) settleFolder(in *incoming) error {
	location, err := l.findFolder(in)
	if err != nil {
		return err
	}
	at := l.spotKey(location)
	s := l.spots[at]
	l.spots[at] = spot{dir: true, freed: s.freed, folders: s.folders + 1}
	return l.plan.add(step{Do: doMakeFolder, At: []byte(location), Time: diskTime(in.Modified)})
}
