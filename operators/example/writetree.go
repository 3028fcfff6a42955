package example

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// TreeOptions says what [WriteTree] writes. A field that is zero takes the default.
type TreeOptions struct {
	Seed  uint64
	Files int   // 50,000
	Bytes int64 // of all files together, about; 40,000 for each file, so 2 GB for 50,000
}

const (
	filesAFolder = 40
	bigEvery     = 2500 // one file in so many is big; together they are 45 % of the bytes
	textPool     = 1 << 20
)

// WriteTree writes a folder tree for benchmarks: small files (a tenth to a thousandth of a big one, from 4 to 40 KiB by
// default), half of them text and half random bytes; one in 2500 is big (45 MB by default), one in 20 a duplicate of
// another. Names, bytes and times depend on the options alone. The folder must be empty or not exist.
func WriteTree(dir string, opts TreeOptions) error {
	if opts.Files <= 0 {
		opts.Files = 50_000
	}
	if opts.Bytes <= 0 {
		opts.Bytes = 40_000 * int64(opts.Files)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: give another folder", dir)
	}
	t := &treeWriter{dir: dir, seed: opts.Seed, files: opts.Files, big: max(1, opts.Files/bigEvery), buf: make([]byte, 1<<20)}
	t.pool = prose(t.random(-1), textPool)[:textPool]
	t.bigSize = opts.Bytes * 45 / 100 / int64(t.big)
	t.smallMean = opts.Bytes * 55 / 100 / int64(max(1, opts.Files-t.big))
	return t.write()
}

type treeWriter struct {
	dir       string
	seed      uint64
	files     int
	big       int // of them
	bigSize   int64
	smallMean int64
	pool      []byte // text
	buf       []byte
}

func (t *treeWriter) random(n int) *rand.Rand { return rand.New(rand.NewPCG(t.seed, uint64(n))) }

func (t *treeWriter) write() error {
	for n := range t.files {
		folder := t.folder(n / filesAFolder)
		if n%filesAFolder == 0 {
			if err := os.MkdirAll(filepath.Join(t.dir, folder), 0o755); err != nil {
				return err
			}
		}
		if err := t.file(n, filepath.Join(t.dir, folder)); err != nil {
			return err
		}
	}
	return nil
}

// folder returns the path of the n-th folder: eight in one, three deep.
func (t *treeWriter) folder(n int) string {
	return filepath.Join(fmt.Sprintf("Année %d", 1990+n/64), fmt.Sprintf("Mois %d", 1+n/8%8), fmt.Sprintf("Dossier %d", 1+n%8))
}

func (t *treeWriter) file(n int, folder string) error {
	content, like := n, "document"
	if n%20 == 19 {
		content, like = n-8, "copie"
	}
	var err error
	var name string
	at := time.Unix(1_600_000_000+int64(n)*997, int64(n)*1000)
	switch {
	case t.isBig(n):
		name = filepath.Join(folder, fmt.Sprintf("film %d.mp4", n))
		err = t.stream(name, n)
	case content%2 == 0:
		name = filepath.Join(folder, fmt.Sprintf("%s %d.txt", like, n))
		err = os.WriteFile(name, t.text(content), 0o644)
	default:
		name = filepath.Join(folder, fmt.Sprintf("%s %d.jpg", like, n))
		err = os.WriteFile(name, t.noise(content), 0o644)
	}
	return errors.Join(err, os.Chtimes(name, at, at))
}

// isBig spreads the big files over the tree; none of them is the model of a duplicate.
func (t *treeWriter) isBig(n int) bool {
	return n%bigEvery == bigEvery/2 && n/bigEvery < t.big || t.files <= bigEvery/2 && n == 0
}

// size is between 4/22 and 40/22 of the mean.
func (t *treeWriter) size(r *rand.Rand) int64 {
	return t.smallMean*4/22 + r.Int64N(t.smallMean*36/22+1)
}

// text is a piece of the pool with a line of its own before it.
func (t *treeWriter) text(n int) []byte {
	r := t.random(n)
	out := fmt.Appendf(t.buf[:0], "Document %d\n\n", n)
	for left := t.size(r) - int64(len(out)); left > 0; {
		from := r.IntN(len(t.pool))
		piece := t.pool[from:min(int64(len(t.pool)), int64(from)+left)]
		out = append(out, piece...)
		left -= int64(len(piece))
	}
	return out
}

func (t *treeWriter) noise(n int) []byte {
	r := t.random(n)
	out := t.buf[:0]
	if size := t.size(r); size <= int64(cap(out)) {
		out = out[:size]
	} else {
		out = make([]byte, size)
	}
	t.chacha(n).Read(out)
	return out
}

func (t *treeWriter) chacha(n int) *rand.ChaCha8 {
	var key [32]byte
	copy(key[:], fmt.Sprintf("%x %x", t.seed, n))
	return rand.NewChaCha8(key)
}

func (t *treeWriter) stream(name string, n int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(t.chacha(n), t.bigSize), t.buf)
	return errors.Join(err, f.Close())
}
