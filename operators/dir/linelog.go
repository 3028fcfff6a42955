package dir

import (
	"bufio"
	"fmt"
	"os"
)

// lineLog is a file of lines that are added and read again by their place.
type lineLog struct {
	file *os.File
	out  *bufio.Writer
	size int64
	buf  []byte
}

// place is where a line is in a log.
type place struct {
	at int64
	n  int32
}

func newLineLog(root *os.Root, name string) (*lineLog, error) {
	f, err := root.Create(name)
	if err != nil {
		return nil, err
	}
	return &lineLog{file: f, out: bufio.NewWriterSize(f, 64<<10)}, nil
}

// add appends a line, which has no line feed.
func (l *lineLog) add(line []byte) (place, error) {
	p := place{at: l.size, n: int32(len(line))}
	if len(line) > maxRecordLine {
		return p, fmt.Errorf("a record of %d bytes is too long", len(line))
	}
	l.out.Write(line)
	if err := l.out.WriteByte('\n'); err != nil {
		return p, err
	}
	l.size += int64(len(line)) + 1
	return p, nil
}

// read returns a line, valid until the next call.
func (l *lineLog) read(p place) ([]byte, error) {
	if p.at+int64(p.n) > l.size-int64(l.out.Buffered()) {
		if err := l.out.Flush(); err != nil {
			return nil, err
		}
	}
	if cap(l.buf) < int(p.n) {
		l.buf = make([]byte, p.n)
	}
	l.buf = l.buf[:p.n]
	_, err := l.file.ReadAt(l.buf, p.at)
	return l.buf, err
}

func (l *lineLog) close() error { return l.file.Close() }
