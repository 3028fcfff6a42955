package ledger

import (
	"bufio"
	"bytes"
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
)

const (
	taggedSize = TagSize + 8
	// maxRuns is how many files of one kind there are, before they become one.
	maxRuns = 16
)

// tagged is a tag and the index of its leaf, so that the order of the bytes is that of both.
type tagged [taggedSize]byte

func (t *tagged) tag() []byte  { return t[:TagSize] }
func (t *tagged) index() int64 { return int64(binary.BigEndian.Uint64(t[TagSize:])) }

// tagRun is a file of tags in their order. It is never changed.
type tagRun struct {
	From  int64 `json:"from"` // leaves
	To    int64 `json:"to"`
	Count int64 `json:"count"`
	Level int   `json:"level"` // how often it was merged
	Sum   Hash  `json:"sum"`   // SHA-256
}

func (r tagRun) name() string { return fmt.Sprintf("%015d-%015d", r.From, r.To) }

// tagSpool finds leaves with the same tag. Tags are sorted some at a time and written to files, and the files are
// merged: whatever tags a log has, and however many, they take no more memory.
type tagSpool struct {
	dir   string
	runs  []tagRun
	from  int64 // leaves whose tags are in the runs
	batch []tagged

	durable bool // the files must survive a power cut
}

func (s *tagSpool) add(tag Tag, index int64) {
	var t tagged
	copy(t[:], tag[:])
	binary.BigEndian.PutUint64(t[TagSize:], uint64(index))
	s.batch = append(s.batch, t)
}

// flush writes the tags that are in memory: those of the leaves up to there.
func (s *tagSpool) flush(to int64) error {
	if len(s.batch) == 0 {
		return nil
	}
	slices.SortFunc(s.batch, func(a, b tagged) int { return bytes.Compare(a[:], b[:]) })
	run, err := s.write(tagRun{From: s.from, To: to}, func(put func(*tagged) error) error {
		for i := range s.batch {
			if err := put(&s.batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.runs, s.from, s.batch = append(s.runs, run), to, s.batch[:0]
	return s.compact()
}

// compact makes one run of many of the same level. The old ones stay until nobody remembers them.
func (s *tagSpool) compact() error {
	for level := 0; ; level++ {
		first := slices.IndexFunc(s.runs, func(r tagRun) bool { return r.Level <= level })
		if first < 0 || len(s.runs)-first < maxRuns {
			return nil
		}
		some := s.runs[first:]
		run, err := s.write(tagRun{From: some[0].From, To: some[len(some)-1].To, Level: level + 1}, func(put func(*tagged) error) error {
			return s.merge(some, put)
		})
		if err != nil {
			return err
		}
		s.runs = append(s.runs[:first:first], run)
	}
}

// write writes a run.
func (s *tagSpool) write(run tagRun, from func(put func(*tagged) error) error) (tagRun, error) {
	path := filepath.Join(s.dir, run.name())
	file, err := os.Create(path)
	if err != nil {
		return run, fmt.Errorf("remember tags: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(file, sum), 64<<10)
	err = from(func(t *tagged) error {
		run.Count++
		_, err := out.Write(t[:])
		return err
	})
	err = errors.Join(err, out.Flush())
	if s.durable {
		err = errors.Join(err, file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return run, fmt.Errorf("remember tags: %w", err)
	}
	sum.Sum(run.Sum[:0])
	return run, nil
}

// duplicates calls report for each leaf whose tag another one before it has.
func (s *tagSpool) duplicates(ctx context.Context, report func(first, again int64)) error {
	var first tagged
	n := 0
	return s.merge(s.runs, func(t *tagged) error {
		if n++; n > 1 && bytes.Equal(t.tag(), first.tag()) {
			report(first.index(), t.index())
		} else {
			first = *t
		}
		if n%(1<<16) == 0 {
			return ctx.Err()
		}
		return nil
	})
}

// merge puts the tags of some runs in their order.
func (s *tagSpool) merge(runs []tagRun, put func(*tagged) error) error {
	var open tagMerge
	defer func() {
		for _, r := range open {
			r.file.Close()
		}
	}()
	for _, run := range runs {
		file, err := os.Open(filepath.Join(s.dir, run.name()))
		if err != nil {
			return damagedState(s.dir, err)
		}
		r := &tagReader{run: run, file: file, sum: sha256.New()}
		r.in = bufio.NewReaderSize(io.TeeReader(file, r.sum), 32<<10)
		open = append(open, r)
		if err := r.next(); err != nil {
			return err
		}
	}
	for heap.Init(&open); len(open) > 0 && !open[0].ended; heap.Fix(&open, 0) {
		if err := put(&open[0].now); err != nil {
			return err
		}
		if err := open[0].next(); err != nil {
			return err
		}
	}
	return nil
}

// tagReader reads a run.
type tagReader struct {
	run   tagRun
	file  *os.File
	in    *bufio.Reader
	sum   hash.Hash
	read  int64
	now   tagged
	ended bool
}

// next reads one tag, and at the end whether all of them were what was written.
func (r *tagReader) next() error {
	_, err := io.ReadFull(r.in, r.now[:])
	if err == nil {
		r.read++
		return nil
	}
	if err == io.EOF {
		r.ended = true
		if r.read == r.run.Count && bytes.Equal(r.sum.Sum(nil), r.run.Sum[:]) {
			return nil
		}
		err = errors.New("its content is not what was written")
	}
	return damagedState(r.file.Name(), err)
}

// tagMerge has the run with the least tag first; runs that have ended are last.
type tagMerge []*tagReader

func (m tagMerge) Len() int      { return len(m) }
func (m tagMerge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m tagMerge) Push(any)      {} // its length stays: see heap.Fix
func (m tagMerge) Pop() any      { return nil }

func (m tagMerge) Less(i, j int) bool {
	if m[i].ended || m[j].ended {
		return !m[i].ended
	}
	return bytes.Compare(m[i].now[:], m[j].now[:]) < 0
}
