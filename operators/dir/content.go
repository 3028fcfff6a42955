package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/passerelle-cloud/passerelle/operators"
)

func changed(path, how string) error {
	return fmt.Errorf("%w: %q: %s; read the folder again when nobody writes to it", operators.ErrChanged, path, how)
}

func (f *plainFile) open() (io.ReadCloser, error) {
	// Without waiting: should the file have become a pipe meanwhile, nobody may ever write to it.
	file, err := f.dir.OpenFile(f.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, changed(f.path, "it is gone")
	}
	if err != nil {
		return nil, unreadable("file", f.path, err)
	}
	return &content{file: file, of: f, left: f.info.Size()}, nil
}

// content gives exactly the bytes that the walk announced, or an error: it looks at the file once more before its end.
type content struct {
	file *os.File
	of   *plainFile
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.check(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := c.file.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, changed(c.of.path, fmt.Sprintf("it is %d bytes shorter than it was", c.left))
	case err != nil:
		return n, unreadable("file", c.of.path, err)
	}
	return n, nil
}

func (c *content) check() error {
	now, err := c.file.Stat()
	if err != nil {
		return unreadable("file", c.of.path, err)
	}
	was := c.of.info
	if now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) || !os.SameFile(now, was) {
		return changed(c.of.path, "it was written to")
	}
	return nil
}

func (c *content) Close() error { return c.file.Close() }
