package dir

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"os"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Finish implements [operators.Load]. Everything is written to disk before the first file gets its name; once it has,
// the load is completed by this call or by the next load.
func (l *Load) Finish(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	root := l.target.root
	if err := errors.Join(l.plan.out.Flush(), syncTree(root)); err != nil {
		return err
	}
	if err := root.Rename(stagingDir, commitDir); err != nil { // from here on it is decided
		return err
	}
	l.done = true
	err := syncTree(root)
	if err == nil {
		err = apply(root)
	}
	return errors.Join(err, l.lock.Unlock())
}

// prepare writes the records and the lists of the series as they will be.
func (l *Load) prepare(ctx context.Context) error {
	for _, dir := range []string{stagedNew, stagedNew + "/records", stagedNew + "/series"} {
		if err := l.stage.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := l.writeRecords(); err != nil {
		return err
	}
	key := seriesKey(l.origin.Series)
	if l.origin.Series != "" {
		if err := l.writeSeries(key); err != nil {
			return err
		}
		if err := l.writeList(ctx, key, l.claimLines(ctx)); err != nil {
			return err
		}
	}
	return l.writePlain(ctx)
}

// writeRecords writes every record that is held, in the order in which they came.
func (l *Load) writeRecords() error {
	type ordered struct {
		place
		dataset int8
	}
	all := make([]ordered, 0, len(l.held))
	for _, h := range l.held {
		all = append(all, ordered{h.place, h.dataset})
	}
	slices.SortFunc(all, func(a, b ordered) int {
		if a.dataset != b.dataset {
			return int(a.dataset) - int(b.dataset)
		}
		return int(min(1, max(-1, a.at-b.at)))
	})
	needed := map[digest]bool{} // blobs outside of the tree
	for i, d := range formats.Datasets() {
		n := slices.IndexFunc(all, func(o ordered) bool { return o.dataset != int8(i) })
		if n < 0 {
			n = len(all)
		}
		err := l.writeFile(stagedNew+"/records/"+string(d)+recordsExt, n > 0, func(w *bufio.Writer) error {
			for _, o := range all[:n] {
				if err := l.writeRecord(w, o.place, needed); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		all = all[n:]
	}
	return l.dropOrphans(needed)
}

// writeRecord copies a line. It looks into those only whose links may need another id, or whose blob may be needed.
func (l *Load) writeRecord(w *bufio.Writer, p place, needed map[digest]bool) error {
	line, err := l.records.read(p)
	if err != nil {
		return err
	}
	if l.orphans || l.fresh(p) && len(l.renamed) > 0 {
		r, err := formats.ParseLine(line)
		if err != nil {
			return err
		}
		if r.Blob != nil && !inTree(&r) {
			needed[short(r.Blob.SHA256)] = true
		}
		if l.fresh(p) {
			r.Links = l.links(r.Links)
			if line, err = r.AppendLine(nil); err != nil {
				return err
			}
		}
	}
	w.Write(line)
	return w.WriteByte('\n')
}

// dropOrphans plans the removal of kept blobs that no record names any more.
func (l *Load) dropOrphans(needed map[digest]bool) error {
	if !l.orphans {
		return nil
	}
	names, err := readNames(l.target.root, blobsDir)
	for _, name := range names {
		hash, errName := formats.ParseHash(name)
		if errName == nil && !needed[short(hash)] {
			err = errors.Join(err, l.plan.add(step{Do: doDrop, At: []byte(blobsDir + "/" + name)}))
		}
	}
	return err
}

func (l *Load) writeFile(name string, wanted bool, write func(*bufio.Writer) error) error {
	if !wanted {
		return nil
	}
	f, err := l.stage.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	return errors.Join(err, w.Flush(), f.Close())
}

func (l *Load) writeSeries(key string) error {
	o := l.origin
	text, err := json.Marshal(seriesJSON{
		Series: o.Series, Operator: o.Operator, Time: o.Time, Sequence: o.Sequence, Root: o.Root, Person: o.Person,
	})
	if err != nil {
		return err
	}
	return writeFile(l.stage, stagedNew+"/series/"+key+seriesExt, append(text, '\n'))
}

func (l *Load) writeList(ctx context.Context, key string, lines iter.Seq2[[]byte, error]) error {
	return l.writeFile(stagedNew+"/series/"+key+claimsExt, true, func(w *bufio.Writer) error {
		for line, err := range lines {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			w.Write(line)
			if err := w.WriteByte('\n'); err != nil {
				return err
			}
		}
		return nil
	})
}

// writePlain writes what plain copies brought, and what the person had before a series brought it.
func (l *Load) writePlain(ctx context.Context) error {
	if l.origin.Series != "" && l.adopted.size == 0 {
		return nil
	}
	sorter := extsort.New(os.TempDir(), sortMemory)
	defer sorter.Close()
	add := func(line []byte) error { return sorter.Add(line) }
	if err := eachLine(l.target.root, seriesDir+"/"+seriesKey("")+claimsExt, add); err != nil {
		return err
	}
	if err := l.adopted.out.Flush(); err != nil {
		return err
	}
	if err := eachLine(l.stage, "adopted", add); err != nil {
		return err
	}
	if l.origin.Series == "" {
		for line, err := range l.claimLines(ctx) {
			if err == nil {
				err = add(line)
			}
			if err != nil {
				return err
			}
		}
	}
	return l.writeList(ctx, seriesKey(""), distinct(sorter.Sorted()))
}

// distinct leaves out a line that equals the one before it.
func distinct(lines iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var last []byte
		for line, err := range lines {
			if err == nil && bytes.Equal(line, last) {
				continue
			}
			last = append(last[:0], line...)
			if !yield(line, err) {
				return
			}
		}
	}
}

// claimLines walks what the series brought, in order.
func (l *Load) claimLines(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if l.brought == nil {
			yield(nil, errors.New("another load has begun since"))
			return
		}
		sorter := extsort.New(os.TempDir(), sortMemory)
		defer sorter.Close()
		for _, c := range l.claims {
			line, err := l.brought.read(c.place)
			if err == nil {
				err = errors.Join(sorter.Add(line), ctx.Err())
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
		sorter.Sorted()(yield)
	}
}

// States implements [operators.Stated].
func (l *Load) States(ctx context.Context) iter.Seq2[operators.State, error] {
	return func(yield func(operators.State, error) bool) {
		for line, err := range l.claimLines(ctx) {
			var c claimLine
			if err == nil {
				c, err = parseClaim(line)
			}
			if !yield(c.State, err) || err != nil {
				return
			}
		}
	}
}

// Held implements [operators.Load]. A file is counted as it is on disk now.
func (l *Load) Held(ctx context.Context) (map[formats.Dataset]operators.Count, error) {
	here := map[digest]bool{}
	for c := range maps.Values(l.claims) {
		here[c.here] = true
	}
	w := &walk{ctx: ctx, seen: map[digest]struct{}{}, ids: map[digest]struct{}{}, parents: &parents{root: l.target.root}}
	layout := &layout{root: l.target.root, layoutJSON: layoutJSON{Names: l.names}}
	counts := map[formats.Dataset]operators.Count{}
	err := layout.eachRecord(func(_ []byte, r *formats.Record) error {
		if !here[keyOf(r.Dataset, r.ID)] {
			return ctx.Err()
		}
		item, err := w.current(layout.root, layout, r)
		if err != nil || item == nil {
			return err
		}
		n := counts[r.Dataset]
		n.Records++
		if blob := item.Record.Blob; blob != nil {
			n.Files++
			n.Bytes += blob.Size
		}
		counts[r.Dataset] = n
		return ctx.Err()
	})
	return counts, err
}
