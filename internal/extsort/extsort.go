// Package extsort sorts more lines than fit in memory: it collects them, writes sorted runs to temporary files when
// its memory is full, and merges the runs. It knows nothing of what the lines mean.
package extsort

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// Sorter collects byte strings and gives them back in bytewise order, equal ones as often as they came.
// The zero value is not usable; see [New].
type Sorter struct {
	dir    string
	memory int
	text   []byte  // the lines collected since the last run, one after the other
	ends   []int32 // where each of them ends
	runs   []*os.File
}

// maxLine is far above any line that callers make and keeps a damaged run from asking for absurd memory.
const maxLine = 1 << 20

// New returns a sorter that uses about memory bytes and puts its runs into dir.
func New(dir string, memory int) *Sorter {
	return &Sorter{dir: dir, memory: memory}
}

// Add copies a line of at most 1 MiB into the sorter.
func (s *Sorter) Add(line []byte) error {
	if len(line) > maxLine {
		return fmt.Errorf("extsort: a line of %d bytes is too long", len(line))
	}
	if len(s.text)+len(line)+4*len(s.ends) > s.memory && len(s.ends) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if len(s.text)+len(line) > cap(s.text) && cap(s.text) > 64<<10 {
		s.text = slices.Grow(s.text, max(s.memory-len(s.text), len(line))) // once, instead of by doubling
	}
	s.text = append(s.text, line...)
	s.ends = append(s.ends, int32(len(s.text)))
	return nil
}

// order returns the lines in memory in order, as slices of text.
func (s *Sorter) order() [][]byte {
	lines := make([][]byte, len(s.ends))
	start := int32(0)
	for i, end := range s.ends {
		lines[i] = s.text[start:end]
		start = end
	}
	slices.SortFunc(lines, bytes.Compare)
	return lines
}

func (s *Sorter) spill() error {
	f, err := os.CreateTemp(s.dir, "sort-*.run")
	if err != nil {
		return fmt.Errorf("extsort: %w", err)
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 64<<10)
	for _, line := range s.order() {
		w.Write(binary.AppendUvarint(w.AvailableBuffer(), uint64(len(line))))
		w.Write(line)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("extsort: write a run: %w", err)
	}
	s.text, s.ends = s.text[:0], s.ends[:0]
	return nil
}

// Sorted walks all lines in order. A line is valid until the walk goes on. Sorted may be called again, and nothing
// may be added after the first call.
func (s *Sorter) Sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		h := merge{{lines: s.order()}}
		for _, f := range s.runs {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				yield(nil, fmt.Errorf("extsort: %w", err))
				return
			}
			h = append(h, &run{file: bufio.NewReaderSize(f, 32<<10)})
		}
		h = slices.DeleteFunc(h, func(r *run) bool { return !r.next() && r.err == nil })
		heap.Init(&h)
		for len(h) > 0 {
			top := h[0]
			if top.err != nil || !yield(top.line, nil) {
				if top.err != nil {
					yield(nil, fmt.Errorf("extsort: read a run: %w", top.err))
				}
				return
			}
			if top.next() || top.err != nil {
				heap.Fix(&h, 0)
			} else {
				heap.Pop(&h)
			}
		}
	}
}

// Close removes the temporary files.
func (s *Sorter) Close() error {
	var errs []error
	for _, f := range s.runs {
		errs = append(errs, f.Close(), os.Remove(f.Name()))
	}
	s.runs, s.text, s.ends = nil, nil, nil
	return errors.Join(errs...)
}

// run is one sorted sequence: lines in memory, or a file.
type run struct {
	lines [][]byte
	file  *bufio.Reader
	line  []byte
	err   error
}

// next moves to the next line and reports whether there is one.
func (r *run) next() bool {
	if r.file == nil {
		if len(r.lines) == 0 {
			return false
		}
		r.line, r.lines = r.lines[0], r.lines[1:]
		return true
	}
	n, err := binary.ReadUvarint(r.file)
	if err == io.EOF {
		return false
	}
	if err == nil && n > maxLine {
		err = errors.New("a line is too long")
	}
	if err == nil {
		r.line = slices.Grow(r.line[:0], int(n))[:n]
		_, err = io.ReadFull(r.file, r.line)
	}
	r.err = err
	return err == nil
}

// merge is a heap of runs by their current line; a run that failed comes first.
type merge []*run

func (m merge) Len() int { return len(m) }
func (m merge) Less(i, j int) bool {
	return m[i].err != nil || m[j].err == nil && bytes.Compare(m[i].line, m[j].line) < 0
}
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)   { *m = append(*m, x.(*run)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
