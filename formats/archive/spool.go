package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/passerelle-cloud/passerelle/formats"
)

// spool is a temporary file that is first written, then read, perhaps several times.
type spool struct {
	file *bufio.Writer
	f    *os.File
}

func newSpool(dir, name string) (*spool, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	return &spool{file: bufio.NewWriterSize(f, 64<<10), f: f}, nil
}

func (s *spool) write(p []byte) error {
	_, err := s.file.Write(p)
	return err
}

// reader returns what was written and its size.
func (s *spool) reader() (io.Reader, int64, error) {
	if err := s.file.Flush(); err != nil {
		return nil, 0, fmt.Errorf("write a temporary file: %w", err)
	}
	info, err := s.f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return io.NewSectionReader(s.f, 0, info.Size()), info.Size(), nil
}

// records walks the record lines in the spool.
func (s *spool) records() formats.Records {
	return func(yield func(formats.Record, error) bool) {
		in, _, err := s.reader()
		if err != nil {
			yield(formats.Record{}, err)
			return
		}
		for line, err := range lines(in) {
			var record formats.Record
			if err == nil {
				record, err = formats.ParseLine(line)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

func (s *spool) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.f.Close(), os.Remove(s.f.Name()))
}

// maxLine bounds a record's line, so that a hostile archive cannot ask for all memory.
const maxLine = 64 << 20

// lines walks the lines of in without their line feeds. A line is valid until the walk goes on. A last line without
// a line feed, an empty line and one that is too long are errors.
func lines(in io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReaderSize(in, 64<<10)
		var long []byte
		for number := 1; ; number++ {
			line, err := r.ReadSlice('\n')
			if err == bufio.ErrBufferFull {
				long = append(long[:0], line...)
				for err == bufio.ErrBufferFull && len(long) <= maxLine {
					line, err = r.ReadSlice('\n')
					long = append(long, line...)
				}
				line = long
			}
			if err == io.EOF && len(line) == 0 {
				return
			}
			if err == nil && len(line) > 1 && len(line) <= maxLine {
				if !yield(line[:len(line)-1], nil) {
					return
				}
				continue
			}
			yield(nil, lineFault(number, len(line), err))
			return
		}
	}
}

func lineFault(number, length int, err error) error {
	switch {
	case err == io.EOF:
		return fmt.Errorf("%w: line %d is cut short", formats.ErrInvalid, number)
	case err != nil && err != bufio.ErrBufferFull:
		return err
	case length <= 1:
		return fmt.Errorf("%w: line %d is empty", formats.ErrInvalid, number)
	}
	return fmt.Errorf("%w: line %d is longer than %d bytes", formats.ErrInvalid, number, maxLine)
}
