package archive

import (
	"bufio"
	"errors"
	"io"
)

// Encryption takes about as long as hashing, parsing and the database do. So that it costs no time besides theirs, it goes on
// in a goroutine of its own: a chunk is encrypted, or decrypted, while the one before is dealt with.
const besideChunk = 256 << 10

var errGivenUp = errors.New("it was given up")

// besideReader reads in a goroutine of its own. Whoever reads from it closes it, at any time; then nobody reads from the
// source any more.
type besideReader struct {
	*bufio.Reader
	pipe *io.PipeReader
	done chan struct{}
}

func readBeside(in io.Reader) *besideReader {
	out, pipe := io.Pipe()
	b := &besideReader{Reader: bufio.NewReaderSize(out, besideChunk), pipe: out, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		_, err := io.CopyBuffer(onlyWriter{pipe}, onlyReader{in}, make([]byte, besideChunk))
		pipe.CloseWithError(err)
	}()
	return b
}

func (b *besideReader) close() {
	b.pipe.CloseWithError(errGivenUp)
	<-b.done
}

// besideWriter writes in a goroutine of its own.
type besideWriter struct {
	*bufio.Writer
	pipe *io.PipeWriter
	done chan struct{}
	err  error // once done
}

func writeBeside(out io.Writer) *besideWriter {
	in, pipe := io.Pipe()
	b := &besideWriter{Writer: bufio.NewWriterSize(pipe, besideChunk), pipe: pipe, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		_, b.err = io.CopyBuffer(onlyWriter{out}, onlyReader{in}, make([]byte, besideChunk))
		in.CloseWithError(b.err) // whoever writes is told
	}()
	return b
}

// close waits until everything is written.
func (b *besideWriter) close() error {
	err := errors.Join(b.Flush(), b.pipe.Close())
	<-b.done
	if b.err != nil {
		return b.err // which the other is a consequence of
	}
	return err
}

// abort gives up what is not written yet.
func (b *besideWriter) abort() {
	b.pipe.CloseWithError(errGivenUp)
	<-b.done
}

// onlyReader and onlyWriter hide what a copy would do instead, so that it goes in chunks.
type onlyReader struct{ io.Reader }

type onlyWriter struct{ io.Writer }
